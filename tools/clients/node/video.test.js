// Cameras and screens of the unmodified mediasoup-client, its WebRTC faked, against the service.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { eventually } from '../eventually.js';
import { CONNECT, SPEAK, Service } from '../service.js';
import { Client, refusalOf } from './client.js';

/** A camera's three qualities, as clients are told to send them. */
const SIMULCAST = ['r0', 'r1', 'r2'].map((rid) => ({ rid, scalabilityMode: 'L1T3' }));

let service;
let gaugesAtStart;
before(async () => {
  service = await Service.start();
  gaugesAtStart = (await service.metrics()).gauges();
});
after(() => service?.stop());

/** Two in a room. */
async function pair(room) {
  return [await Client.join(service, 'alice', room), await Client.join(service, 'bob', room)];
}

/** Their state as `listener` is told next. */
async function nextState(listener, userId) {
  const update = await listener.signaling.push('userStateUpdate', (push) => push.userId === userId);
  return [update.videoEnabled, update.screenSharing];
}

test('a camera with three encodings is consumed as one stream with retransmissions', async () => {
  const [alice, bob] = await pair('room-simulcast');
  const producer = await alice.produce('video', { encodings: structuredClone(SIMULCAST) });
  assert.deepEqual(
    producer.rtpParameters.codecs.map(({ mimeType }) => mimeType.toLowerCase()),
    ['video/vp8', 'video/rtx'],
  );
  assert.equal(producer.rtpParameters.encodings.length, 3);
  const announced = await bob.signaling.push('newProducer');
  assert.deepEqual([announced.kind, announced.source, announced.paused], ['video', 'camera', false]);
  const consumer = await bob.consume(producer.id);
  assert.deepEqual([consumer.consumed.consumerType, consumer.consumed.source], ['simulcast', 'camera']);
  const [encoding, ...others] = consumer.rtpParameters.encodings;
  assert.equal(others.length, 0);
  assert.ok(encoding.ssrc > 0 && encoding.rtx.ssrc > 0 && encoding.rtx.ssrc !== encoding.ssrc);
  assert.equal(encoding.scalabilityMode, 'L3T3');
  const [vp8, rtx] = consumer.rtpParameters.codecs;
  assert.deepEqual([vp8.mimeType.toLowerCase(), rtx.mimeType.toLowerCase()], ['video/vp8', 'video/rtx']);
  assert.equal(rtx.parameters.apt, vp8.payloadType);
  for (const client of [alice, bob]) await client.close();
});

test('one stream of VP9 with layers is svc, one of VP8 without is simple', async () => {
  const [alice, bob] = await pair('room-types');
  const vp9 = alice.device.sendRtpCapabilities.codecs.find(({ mimeType }) => mimeType.toLowerCase() === 'video/vp9');
  const layered = await alice.produce('video', { codec: vp9, encodings: [{ scalabilityMode: 'L3T3_KEY' }] });
  const plain = await alice.produce('video', { source: 'screen' });
  const types = [];
  for (const { id } of [layered, plain]) types.push((await bob.consume(id)).consumed.consumerType);
  assert.deepEqual(types, ['svc', 'simple']);
  for (const client of [alice, bob]) await client.close();
});

test('whoever takes no retransmissions is sent none', async () => {
  const alice = await Client.join(service, 'alice', 'room-rtx');
  const changeCapabilities = (capabilities) => ({
    ...capabilities,
    codecs: capabilities.codecs.filter(({ mimeType }) => mimeType.toLowerCase() !== 'video/rtx'),
  });
  const bob = await Client.join(service, 'bob', 'room-rtx', { changeCapabilities });
  const producer = await alice.produce('video');
  const { rtpParameters } = await bob.consume(producer.id);
  assert.deepEqual([rtpParameters.codecs.length, rtpParameters.encodings[0].rtx], [1, undefined]);
  for (const client of [alice, bob]) await client.close();
});

test('a key frame is asked for by its consumer alone', async () => {
  const [alice, bob] = await pair('room-key-frame');
  const producer = await alice.produce('video');
  const { id: consumerId } = await bob.consume(producer.id);
  assert.equal((await bob.signaling.request('requestKeyFrame', { consumerId })).type, 'keyFrameRequested');
  assert.equal(await refusalOf(alice.signaling.request('requestKeyFrame', { consumerId })), 'not_found');
  await bob.signaling.request('closeConsumer', { consumerId });
  assert.equal(await refusalOf(bob.signaling.request('requestKeyFrame', { consumerId })), 'not_found');
  for (const client of [alice, bob]) await client.close();
});

test('a screen and its sound come beside camera and microphone, and the room is told', async () => {
  const [alice, bob] = await pair('room-screen');
  const streams = [
    await alice.produce('audio'),
    await alice.produce('video'),
    await alice.produce('video'),
    await alice.produce('audio', { source: 'screenAudio' }),
  ];
  assert.deepEqual([...alice.sources.values()], ['mic', 'camera', 'screen', 'screenAudio']);
  assert.deepEqual([await nextState(bob, 'alice'), await nextState(bob, 'alice')], [[true, false], [true, true]]);
  const sources = [];
  for (const { id } of streams) sources.push((await bob.consume(id)).consumed.source);
  assert.deepEqual(sources, ['mic', 'camera', 'screen', 'screenAudio']);
  assert.equal(await refusalOf(alice.produce('video')), 'limit_reached');
  assert.equal(await refusalOf(alice.produce('audio', { source: 'camera' })), 'bad_request');
  await alice.signaling.request('closeProducer', { producerId: streams[2].id });
  assert.deepEqual(await nextState(bob, 'alice'), [true, false]);
  const late = await Client.join(service, 'late', 'room-screen');
  const { state } = late.joined.participants.find(({ userId }) => userId === 'alice');
  assert.deepEqual([state.videoEnabled, state.screenSharing], [true, false]);
  for (const client of [alice, bob, late]) await client.close();
});

test('a camera that is switched off stays, and nothing but the state is told', async () => {
  const [alice, bob] = await pair('room-switch');
  const producer = await alice.produce('video');
  await bob.consume(producer.id);
  assert.deepEqual(await nextState(bob, 'alice'), [true, false]);
  for (const videoEnabled of [false, true]) {
    const updated = await alice.signaling.request('updateState', { videoEnabled });
    assert.equal(updated.videoEnabled, videoEnabled);
    assert.deepEqual(await nextState(bob, 'alice'), [videoEnabled, false]);
  }
  // What is answered now was said after anything about the stream would have been.
  await bob.signaling.request('ping');
  assert.deepEqual(
    bob.signaling.pushes.filter(({ type }) => /^(consumer|producer)/.test(type)),
    [],
  );
  for (const client of [alice, bob]) await client.close();
});

test('without the right to stream a microphone is taken and nothing else', async () => {
  const alice = await Client.join(service, 'alice', 'room-rights', { permissions: CONNECT | SPEAK });
  assert.equal(await refusalOf(alice.produce('video', { encodings: structuredClone(SIMULCAST) })), 'forbidden');
  assert.equal(await refusalOf(alice.produce('video', { source: 'screen' })), 'forbidden');
  assert.equal(await refusalOf(alice.produce('audio', { source: 'screenAudio' })), 'forbidden');
  assert.ok((await alice.produce('audio')).id);
  await alice.close();
});

test('nothing is left of all these calls', async () => {
  await eventually('every count is back at its start', async () => {
    assert.deepEqual((await service.metrics()).gauges(), gaugesAtStart);
    return true;
  });
});
