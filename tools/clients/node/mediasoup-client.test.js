// The unmodified mediasoup-client, its WebRTC faked, against the service: every step of a voice call that is signaling.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { eventually } from '../eventually.js';
import { Service } from '../service.js';
import { Client, refusalOf } from './client.js';

let service;
let gaugesAtStart;
before(async () => {
  service = await Service.start();
  gaugesAtStart = (await service.metrics()).gauges();
});
after(() => service?.stop());

test('a device loads the router capabilities and can produce audio and video', async () => {
  const client = await Client.join(service, 'load', 'room-load');
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
  const client = await Client.join(service, 'settings', 'room-settings');
  const { opus } = client.joined.settings.audio;
  assert.deepEqual([opus.maxaveragebitrate, opus.useinbandfec, opus.usedtx, opus.stereo], [128_000, 1, 1, 1]);
  assert.deepEqual(
    client.joined.settings.video.layers.map(({ maxBitrate, maxFramerate }) => [maxBitrate, maxFramerate]),
    [
      [150_000, 15],
      [500_000, 24],
      [1_500_000, 30],
    ],
  );
  assert.deepEqual(client.joined.participants, []);
  await client.signaling.close();
});

test('audio that one produces is announced to the other, who consumes it in stereo', async () => {
  const [alice, bob] = [await Client.join(service, 'alice', 'room-audio'), await Client.join(service, 'bob', 'room-audio')];
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
  const alice = await Client.join(service, 'alice', 'room-late');
  const producer = await alice.produce('audio');
  const bob = await Client.join(service, 'bob', 'room-late');
  assert.deepEqual(
    bob.joined.participants.map(({ userId }) => userId),
    ['alice'],
  );
  assert.equal((await bob.signaling.push('newProducer')).producerId, producer.id);
  for (const client of [alice, bob]) await client.signaling.close();
});

test('several streams are consumed on one transport, each with a MID and an SSRC of its own', async () => {
  const listener = await Client.join(service, 'listener', 'room-many');
  const speakers = [];
  for (const name of ['one', 'two', 'three']) {
    const speaker = await Client.join(service, name, 'room-many');
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
  const alice = await Client.join(service, 'alice', 'room-capability');
  const withoutAudio = (capabilities) => ({
    ...capabilities,
    codecs: capabilities.codecs.filter(({ kind }) => kind === 'video'),
  });
  const bob = await Client.join(service, 'bob', 'room-capability', { changeCapabilities: withoutAudio });
  const producer = await alice.produce('audio');
  assert.equal(await refusalOf(bob.consume(producer.id)), 'cannot_consume');
  for (const client of [alice, bob]) await client.signaling.close();
});

test('what is consumed twice, one’s own or unknown is refused', async () => {
  const [alice, bob] = [await Client.join(service, 'alice', 'room-refusal'), await Client.join(service, 'bob', 'room-refusal')];
  const producer = await alice.produce('audio');
  await bob.consume(producer.id);
  assert.equal(await refusalOf(bob.signaling.request('consume', { producerId: producer.id })), 'bad_request');
  assert.equal(await refusalOf(alice.signaling.request('consume', { producerId: producer.id })), 'bad_request');
  assert.equal(await refusalOf(bob.signaling.request('consume', { producerId: 'unknown' })), 'not_found');
  assert.equal(await refusalOf(bob.signaling.request('createTransport', { direction: 'recv' })), 'limit_reached');
  for (const client of [alice, bob]) await client.signaling.close();
});

test('pausing and closing are answered and told to the consumer', async () => {
  const [alice, bob] = [await Client.join(service, 'alice', 'room-pause'), await Client.join(service, 'bob', 'room-pause')];
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
