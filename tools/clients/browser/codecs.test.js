// Every codec that a browser sends: everyone reads everyone else's number and hears everyone else's tones.

import assert from 'node:assert/strict';
import { eventually } from '../eventually.js';
import { scenario } from '../scenario.js';

const ROOM = 'gallery';
const CODECS = ['video/vp8', 'video/vp9', 'video/av1', 'video/h264'];
/** What someone sends who does not send the codec of the hour. */
const ANY_CODEC = 'video/vp8';

/** The smallest size that Chromium sends in three encodings. */
const LARGE = { width: 960, height: 540 };
const ENCODINGS = [
  { scaleResolutionDownBy: 4, maxBitrate: 100_000, scalabilityMode: 'L1T3' },
  { scaleResolutionDownBy: 2, maxBitrate: 250_000, scalabilityMode: 'L1T3' },
  { scaleResolutionDownBy: 1, maxBitrate: 700_000, scalabilityMode: 'L1T3' },
];

for (const shards of [1, 2]) {
  scenario('three people in two browsers read and hear exactly each other in every codec', { shards }, async (stage) => {
    const alice = await stage.call('alice', ROOM);
    const bob = await stage.call('bob', ROOM);
    const carol = await stage.call('carol', ROOM, 'firefox');
    const people = [alice, bob, carol];
    for (const person of people) await person.play();
    for (const codec of CODECS) {
      const sent = new Map();
      for (const person of people) {
        sent.set(person, (await person.tell('sendable')).includes(codec) ? codec : ANY_CODEC);
        await person.show('camera', { codec: sent.get(person) });
      }
      for (const person of people) {
        const receivable = await person.tell('receivable');
        const others = people.filter((other) => other !== person);
        const [read, refused] = [true, false].map((can) => others.filter((other) => receivable.includes(sent.get(other)) === can));
        await person.reads(...read);
        for (const { userId, codec: received } of (await person.look()).filter(({ kind }) => kind === 'video')) {
          assert.equal(received, sent.get(people.find((other) => other.userId === userId)));
        }
        const refusals = refused.map(({ userId }) => ({ userId, source: 'camera', code: 'cannot_consume' }));
        assert.deepEqual(await person.tell('refused'), refusals);
      }
      await alice.hears(bob, carol);
      await bob.hears(alice, carol);
      await carol.hears(alice, bob);
      for (const person of people) await person.stop('camera');
      for (const person of people) await person.reads();
    }
  });
}

scenario('of three encodings the largest is shown, sent by Chromium and by Firefox', {}, async (stage) => {
  const alice = await stage.call('alice', ROOM);
  const bob = await stage.call('bob', ROOM);
  const carol = await stage.call('carol', ROOM, 'firefox');
  for (const person of [alice, carol]) {
    await person.show('camera', { ...LARGE, codec: 'video/vp8', encodings: ENCODINGS });
    await bob.reads(person);
    await eventually(`the largest of ${person.userId}'s encodings is shown`, async () => {
      const [{ seen }] = (await bob.look()).filter(({ userId }) => userId === person.userId);
      assert.deepEqual([seen.width, seen.height], [LARGE.width, LARGE.height]);
      return true;
    });
    await bob.reads(person);
    await person.stop('camera');
    await bob.reads();
  }
});
