// The unmodified mediasoup-client, its WebRTC faked, against the service: every step of a call that is signaling.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { FakeMediaStreamTrack } from 'fake-mediastreamtrack';
import { Device } from 'mediasoup-client';
import * as fakeParameters from 'mediasoup-client/fakeParameters';
import { FakeHandler } from 'mediasoup-client/handlers/FakeHandler';
import { eventually } from '../eventually.js';
import { Service } from '../service.js';
import { Signaling } from '../signaling.js';

let service;
let gaugesAtStart;
before(async () => {
  service = await Service.start();
  gaugesAtStart = (await service.metrics()).gauges();
});
after(() => service?.stop());

/** Someone in a room, with a loaded device and both transports. */
class Client {
  static async join(userId, channelId, changeCapabilities = (capabilities) => capabilities) {
    const client = new Client();
    client.userId = userId;
    client.signaling = await Signaling.connect(service, service.token(userId));
    client.device = new Device({ handlerFactory: FakeHandler.createFactory(nativeParameters) });
    await client.device.load({ routerRtpCapabilities: client.signaling.routerRtpCapabilities });
    client.joined = await client.signaling.request('join', {
      channelId,
      rtpCapabilities: changeCapabilities(structuredClone(client.device.recvRtpCapabilities)),
    });
    client.sendTransport = await client.#createTransport('send');
    client.receiveTransport = await client.#createTransport('recv');
    return client;
  }

  async #createTransport(direction) {
    const { transportId, iceParameters, iceCandidates, dtlsParameters, iceServers } = await this.signaling.request(
      'createTransport',
      { direction },
    );
    const options = { id: transportId, iceParameters, iceCandidates, dtlsParameters, iceServers };
    const transport =
      direction === 'send' ? this.device.createSendTransport(options) : this.device.createRecvTransport(options);
    transport.on('connect', ({ dtlsParameters: own }, done, fail) => {
      this.signaling.request('connectTransport', { transportId, dtlsParameters: own }).then(done, fail);
    });
    transport.on('produce', ({ kind, rtpParameters }, done, fail) => {
      this.signaling
        .request('produce', { transportId, kind, rtpParameters })
        .then(({ producerId }) => done({ id: producerId }), fail);
    });
    return transport;
  }

  produce(kind) {
    return this.sendTransport.produce({
      track: new FakeMediaStreamTrack({ kind }),
      codecOptions: kind === 'audio' ? { opusStereo: true, opusDtx: true, opusFec: true } : undefined,
    });
  }

  async consume(producerId) {
    const { consumerId, kind, rtpParameters } = await this.signaling.request('consume', { producerId });
    const consumer = await this.receiveTransport.consume({ id: consumerId, producerId, kind, rtpParameters });
    await this.signaling.request('resumeConsumer', { consumerId });
    return consumer;
  }
}

/** A browser's capabilities as mediasoup-client's own tests have them. */
const nativeParameters = {
  generateNativeRtpCapabilities: fakeParameters.generateNativeRtpCapabilities,
  generateLocalDtlsParameters: fakeParameters.generateLocalDtlsParameters,
};

async function refusalOf(promise) {
  return promise.then(
    () => 'none',
    (error) => error.code,
  );
}

test('a device loads the router capabilities and can produce audio and video', async () => {
  const client = await Client.join('load', 'room-load');
  assert.equal(client.device.loaded, true);
  assert.equal(client.device.canProduce('audio'), true);
  assert.equal(client.device.canProduce('video'), true);
  const codecs = client.signaling.routerRtpCapabilities.codecs.map(({ mimeType }) => mimeType.toLowerCase());
  for (const codec of ['audio/opus', 'video/vp8', 'video/vp9', 'video/h264', 'video/av1', 'video/rtx']) {
    assert.ok(codecs.includes(codec), `${codec} is among ${codecs}`);
  }
  await client.signaling.close();
});

test('joined carries the settings for senders', async () => {
  const client = await Client.join('settings', 'room-settings');
  const { opus } = client.joined.settings.audio;
  assert.deepEqual([opus.maxaveragebitrate, opus.useinbandfec, opus.usedtx, opus.stereo], [128_000, 1, 1, 1]);
  assert.equal(client.joined.settings.video.layers.length, 3);
  assert.deepEqual(client.joined.participants, []);
  await client.signaling.close();
});

test('audio that one produces is announced to the other, who consumes it in stereo', async () => {
  const [alice, bob] = [await Client.join('alice', 'room-audio'), await Client.join('bob', 'room-audio')];
  const producer = await alice.produce('audio');
  const announced = await bob.signaling.push('newProducer');
  assert.deepEqual(
    [announced.producerId, announced.userId, announced.kind, announced.source, announced.paused],
    [producer.id, 'alice', 'audio', 'mic', false],
  );
  const consumer = await bob.consume(producer.id);
  assert.equal(consumer.kind, 'audio');
  const [codec] = consumer.rtpParameters.codecs;
  assert.equal(codec.mimeType.toLowerCase(), 'audio/opus');
  assert.equal(codec.channels, 2);
  assert.equal(Number(codec.parameters['sprop-stereo']), 1);
  producer.close();
  await alice.signaling.request('closeProducer', { producerId: producer.id });
  assert.equal((await bob.signaling.push('consumerClosed')).consumerId, consumer.id);
  for (const client of [alice, bob]) await client.signaling.close();
});

test('a late joiner is told of each stream after joined', async () => {
  const alice = await Client.join('alice', 'room-late');
  const producer = await alice.produce('audio');
  const bob = await Client.join('bob', 'room-late');
  assert.deepEqual(
    bob.joined.participants.map(({ userId }) => userId),
    ['alice'],
  );
  assert.equal((await bob.signaling.push('newProducer')).producerId, producer.id);
  for (const client of [alice, bob]) await client.signaling.close();
});

test('several streams are consumed on one transport, each with a MID and an SSRC of its own', async () => {
  const listener = await Client.join('listener', 'room-many');
  const speakers = [];
  for (const name of ['one', 'two', 'three']) {
    const speaker = await Client.join(name, 'room-many');
    await speaker.produce('audio');
    speakers.push(speaker);
  }
  const consumers = [];
  for (const speaker of speakers) {
    const { producerId } = await listener.signaling.push('newProducer', ({ userId }) => userId === speaker.userId);
    consumers.push(await listener.consume(producerId));
  }
  assert.equal(new Set(consumers.map(({ rtpParameters }) => rtpParameters.mid)).size, 3);
  assert.equal(new Set(consumers.map(({ rtpParameters }) => rtpParameters.encodings[0].ssrc)).size, 3);
  for (const client of [listener, ...speakers]) await client.signaling.close();
});

test('whoever cannot decode Opus is refused with cannot_consume', async () => {
  const alice = await Client.join('alice', 'room-capability');
  const withoutAudio = (capabilities) => ({
    ...capabilities,
    codecs: capabilities.codecs.filter(({ kind }) => kind === 'video'),
  });
  const bob = await Client.join('bob', 'room-capability', withoutAudio);
  const producer = await alice.produce('audio');
  assert.equal(await refusalOf(bob.consume(producer.id)), 'cannot_consume');
  for (const client of [alice, bob]) await client.signaling.close();
});

test('video is refused with unsupported_codec and the call goes on', async () => {
  const alice = await Client.join('alice', 'room-video');
  assert.equal(await refusalOf(alice.produce('video')), 'unsupported_codec');
  assert.ok((await alice.produce('audio')).id);
  await alice.signaling.close();
});

test('what is consumed twice, one’s own or unknown is refused', async () => {
  const [alice, bob] = [await Client.join('alice', 'room-refusal'), await Client.join('bob', 'room-refusal')];
  const producer = await alice.produce('audio');
  await bob.consume(producer.id);
  assert.equal(await refusalOf(bob.signaling.request('consume', { producerId: producer.id })), 'bad_request');
  assert.equal(await refusalOf(alice.signaling.request('consume', { producerId: producer.id })), 'bad_request');
  assert.equal(await refusalOf(bob.signaling.request('consume', { producerId: 'unknown' })), 'not_found');
  assert.equal(await refusalOf(bob.signaling.request('createTransport', { direction: 'recv' })), 'limit_reached');
  for (const client of [alice, bob]) await client.signaling.close();
});

test('pausing and closing are answered and told to the consumer', async () => {
  const [alice, bob] = [await Client.join('alice', 'room-pause'), await Client.join('bob', 'room-pause')];
  const producer = await alice.produce('audio');
  const consumer = await bob.consume(producer.id);
  await alice.signaling.request('pauseProducer', { producerId: producer.id });
  assert.equal((await bob.signaling.push('consumerPaused')).consumerId, consumer.id);
  await alice.signaling.request('resumeProducer', { producerId: producer.id });
  assert.equal((await bob.signaling.push('consumerResumed')).consumerId, consumer.id);
  await bob.signaling.request('closeConsumer', { consumerId: consumer.id });
  assert.ok((await bob.consume(producer.id)).id, 'a stream can be consumed again');
  for (const client of [alice, bob]) await client.signaling.close();
});

test('nothing is left of all these calls', async () => {
  await eventually('every count is back at its start', async () => {
    assert.deepEqual((await service.metrics()).gauges(), gaugesAtStart);
    return true;
  });
});
