// A call over a network that loses packets both ways: pictures and sound go on.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { measureCall, obstacle, tableOf } from '../loss/measurement.js';

/** Per cent, and of ten pictures a second how many are decoded at least: a lost packet is repaired, a few come too late. */
const LOSSES = new Map([[1, 9], [5, 8.5], [10, 7.5]]);
const SECONDS = 12;

/** No picture stands longer. */
const GAP_MAX_MS = 3_000;
/** The part of looks that hear both tones; the rest fall on sound that had to be made up. */
const HEARD_MIN = 0.7;

test('pictures and sound go on at 1, 5 and 10 % loss', { skip: obstacle() ?? false }, async (context) => {
  const measurements = await measureCall([...LOSSES.keys()], SECONDS);
  context.diagnostic(`\n${tableOf(measurements)}`);
  for (const { loss, measuredLoss, ways } of measurements) {
    assert.ok(Math.abs(measuredLoss - loss) < 1 + loss / 5, `the network loses ${measuredLoss} % of the packets, not ${loss}`);
    for (const { viewer, publisher, number, tones, seen, heard, seconds, counts } of ways) {
      const what = `${publisher} at ${viewer} with ${loss} % loss`;
      const framesPerSecond = counts.framesDecoded / seconds;
      assert.ok(framesPerSecond >= LOSSES.get(loss), `${what}: ${framesPerSecond} frames a second`);
      assert.ok(seen.gapMaxMs < GAP_MAX_MS, `${what}: no picture for ${seen.gapMaxMs} ms`);
      assert.deepEqual(Object.keys(seen.numbers), [String(number)], what);
      assert.equal(seen.backward, 0, `${what}: pictures that were shown before`);
      const right = heard.filter(({ left, right }) => left.includes(tones.left) && right.includes(tones.right));
      assert.ok(right.length >= HEARD_MIN * heard.length, `${what}: heard ${right.length} of ${heard.length} times`);
    }
  }
});
