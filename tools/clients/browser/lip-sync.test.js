// Lip sync: a flash and a beep that are published together are shown and played together.
//
// What is compared is when each leaves the browser for the screen and for the loudspeaker (`page/stopwatch.js` says how that
// is known). The publisher's page takes the times of its own tracks too, before they are sent: a flash is captured up to one
// refresh of the screen after it was painted, a beep is rendered some buffers later, and the instrument adds its own. By how
// much more they are apart at the viewer is what the way does.
//
// Chromium publishes, and both browsers watch. What Firefox publishes from a canvas and an audio context is 60 to 100 ms
// apart where Chromium, by the stamps that it came with, holds the two to be in step (`estimatedPlayoutTimestamp`).

import assert from 'node:assert/strict';
import { eventually } from '../eventually.js';
import { scenario } from '../scenario.js';

const ROOM = 'theatre';
const APART_MAX_MS = 80;
/** The browser may take so long to bring the two together. */
const SETTLING_SECONDS = 10;
/** The middle one of so many is taken. */
const BEATS = 7;
/**
 * A machine with no core to spare makes sound too late by itself; its browsers take as long again to follow. The report says
 * after how many seconds the two were in step.
 */
const PATIENCE_MS = 40_000;
/** A beep belongs to the flash that is less than half a period away. */
const HALF_PERIOD_MS = 500;

scenario(`a flash and a beep are less than ${APART_MAX_MS} ms apart after ${SETTLING_SECONDS} s`, {}, async (stage) => {
  const alice = await stage.call('alice', ROOM);
  const viewers = [await stage.call('bob', ROOM), await stage.call('carol', ROOM, 'firefox')];
  await alice.tell('beat', alice.userId);
  for (const viewer of viewers) {
    await eventually(`${viewer.userId} receives alice`, async () => (await viewer.streamsOf(alice.userId)).length === 2);
    await viewer.tell('takeTimesOf', alice.userId);
  }
  const begun = Date.now();
  for (const viewer of viewers) {
    await eventually(`flash and beep are in step at ${viewer.userId}`, async () => {
      const [before, after] = [await differencesAt(alice, alice), await differencesAt(viewer, alice)];
      assert.ok(after.length >= SETTLING_SECONDS + BEATS, `only ${after.length} beats were seen`);
      const apart = median(after.slice(-BEATS)) - median(before.slice(-BEATS));
      const seconds = Math.round((Date.now() - begun) / 1000);
      const what = `after ${seconds} s the beep is ${apart} ms later after its flash at ${viewer.userId} than at home`;
      assert.ok(Math.abs(apart) < APART_MAX_MS, `${what}: there ${before}; here ${after}`);
      stage.diagnostic(what);
      return true;
    }, PATIENCE_MS);
  }
});

/** By how much each beep of someone came after its flash, in milliseconds. */
async function differencesAt(viewer, { userId }) {
  const { flashes, beeps } = await viewer.tell('timesOf', userId);
  return flashes.flatMap((flash) => {
    const nearest = beeps.toSorted((one, other) => Math.abs(one - flash) - Math.abs(other - flash))[0];
    return nearest !== undefined && Math.abs(nearest - flash) < HALF_PERIOD_MS ? [Math.round(nearest - flash)] : [];
  });
}

function median(values) {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)];
}
