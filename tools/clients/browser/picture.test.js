// The instruments themselves: what an easel paints is read again, also after every codec of a browser.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../eventually.js';
import { blocksOf, meaningOf } from '../page/picture.js';
import { scenario } from '../scenario.js';

/** Debian's Firefox has no H264 of its own. */
const CODECS = { chromium: ['video/av1', 'video/h264', 'video/vp8', 'video/vp9'], firefox: ['video/av1', 'video/vp8', 'video/vp9'] };
const NUMBER = 77;
const PICTURES_MIN = 10;

test('a picture says its number and the how manieth it is', () => {
  for (const meaning of [{ number: 0, picture: 0 }, { number: 255, picture: 65_535 }, { number: 77, picture: 258 }]) {
    assert.deepEqual(meaningOf(blocksOf(meaning)), meaning);
  }
});

test('no picture with one or two wrong blocks, all black or all white is read as another', () => {
  const right = blocksOf({ number: 77, picture: 258 });
  const wrong = (...places) => right.map((isWhite, place) => isWhite !== places.includes(place));
  for (const one of right.keys()) {
    assert.equal(meaningOf(wrong(one)), null);
    for (const other of right.keys()) if (other !== one) assert.equal(meaningOf(wrong(one, other)), null);
  }
  for (const colour of [true, false]) assert.equal(meaningOf(right.map(() => colour)), null);
});

for (const [kind, codecs] of Object.entries(CODECS)) {
  scenario(`${kind} reads its own pictures in every codec that it sends`, {}, async (stage) => {
    const person = await stage.caller('painter', kind);
    const { sent, received } = await person.tell('codecs');
    assert.deepEqual(codecs.filter((codec) => !sent.includes(codec) || !received.includes(codec)), []);
    for (const codec of codecs) {
      await person.tell('openPair', { number: NUMBER, codec });
      const { seen, shown, painted } = await eventually(`${codec} is read`, async () => {
        const look = await person.tell('lookAtPair');
        return look.seen.pictures >= PICTURES_MIN && look;
      });
      assert.deepEqual([Object.keys(seen.numbers), seen.unreadable, seen.backward], [[String(NUMBER)], 0, 0], codec);
      assert.ok(shown.picture <= painted, 'nothing is seen before it is painted');
      await person.tell('closePair');
    }
  });
}
