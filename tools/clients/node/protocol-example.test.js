// The example of the protocol's description, run as it stands there, its WebRTC faked.

import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { FakeMediaStreamTrack } from 'fake-mediastreamtrack';
import { Device } from 'mediasoup-client';
import * as fakeParameters from 'mediasoup-client/fakeParameters';
import { FakeHandler } from 'mediasoup-client/handlers/FakeHandler';
import WebSocket from 'ws';
import { eventually } from '../eventually.js';
import { Service } from '../service.js';

const DESCRIPTION = new URL('../../../signaling/PROTOCOL.md', import.meta.url);
/** Beside the tests, where its import of mediasoup-client is found. */
const MODULE = new URL(`../.example-${process.pid}.mjs`, import.meta.url);

/** As in a browser, an error that nobody listens to is no more than the `close` that follows. */
class QuietWebSocket extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols);
    this.on('error', () => {});
  }
}

let service;
let joinCall;
before(async () => {
  // Browsers have one; Node has it from version 22 on.
  globalThis.WebSocket ??= QuietWebSocket;
  const [, example] = /^```js\n(.*?)^```$/ms.exec(await readFile(DESCRIPTION, 'utf8'));
  await writeFile(MODULE, example);
  ({ joinCall } = await import(MODULE));
  service = await Service.start();
});
after(async () => {
  await service?.stop();
  await rm(MODULE, { force: true });
});

/** Joins as the example does, and notes what it is told. */
async function join(userId, claims = {}) {
  const seen = { streams: [], ended: 0, end: null };
  const call = await joinCall({
    url: `ws://127.0.0.1:${service.port}/signaling`,
    token: service.token(userId, claims),
    channelId: 'example',
    device: new Device({ handlerFactory: FakeHandler.createFactory(fakeParameters) }),
    onTrack: ({ userId: owner, source, track }) => seen.streams.push(`${owner} ${source} ${track.kind}`),
    onTrackEnd: () => (seen.ended += 1),
    onEnd: ({ code }) => (seen.end = code),
  });
  return { call, seen };
}

test('two who join as the example says receive each other until they leave', async () => {
  const alice = await join('alice');
  await alice.call.send(new FakeMediaStreamTrack({ kind: 'audio' }), 'mic');
  const { layers } = alice.call.settings.video;
  const encodings = layers.map(({ maxBitrate, maxFramerate }) => ({ maxBitrate, maxFramerate }));
  await alice.call.send(new FakeMediaStreamTrack({ kind: 'video' }), 'camera', { encodings });

  const bob = await join('bob');
  assert.deepEqual(
    bob.call.participants.map(({ userId, state }) => [userId, state.videoEnabled]),
    [['alice', true]],
  );
  await bob.call.send(new FakeMediaStreamTrack({ kind: 'video' }), 'screen');
  await eventually('each receives the other', () => {
    assert.deepEqual(bob.seen.streams.toSorted(), ['alice camera video', 'alice mic audio']);
    assert.deepEqual(alice.seen.streams, ['bob screen video']);
    return true;
  });

  bob.call.leave();
  // What was asked meanwhile fails with the connection. That it has ended is no news to who ended it.
  await assert.rejects(bob.call.request('ping'), { code: 1000 });
  assert.equal(bob.seen.end, null);
  await eventually('bob has left', () => alice.seen.ended === 1);
  await assert.rejects(alice.call.request('leave', { channelId: 'elsewhere' }), { code: 'not_joined' });

  const elsewhere = await join('alice');
  await eventually('alice is told that the call has ended here', () => alice.seen.end === 4014);
  elsewhere.call.leave();
});

test('who may not join is told why', async () => {
  await assert.rejects(join('carol', { permissions: 0 }), { code: 'forbidden' });
});

test('who has no good token is told that there is no connection', async () => {
  await assert.rejects(join('dave', { exp: 1 }), { code: 1006 });
});
