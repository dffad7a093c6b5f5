// Coming and going: nothing is left of who has gone, however they went.

import assert from 'node:assert/strict';
import { eventually } from '../eventually.js';
import { scenario } from '../scenario.js';

const ROOM = 'station';
const TIMES = 50;

for (const shards of [1, 2]) {
  scenario(`after ${TIMES} joins and leaves every count is back at its start`, { shards }, async (stage) => {
    const empty = (await stage.service.metrics()).gauges();
    const alice = await stage.join('alice', ROOM);
    await alice.hears();
    const withAlice = await settled(stage.service);
    assert.notDeepEqual(withAlice, empty, 'a call is seen in the counts');

    const guest = await stage.person('guest');
    for (let time = 0; time < TIMES; time++) {
      // Another room now and then, so that rooms come and go as well.
      const room = time % 5 === 4 ? `platform-${time}` : ROOM;
      await guest.join(stage.link('guest', room));
      if (room === ROOM) await eventually('alice receives the guest', async () => 'guest' in (await alice.packets()));
      // One leaves by the button, the next by closing the page.
      if (time % 2) await guest.leave();
      else await guest.page.goto('about:blank');
      if (room === ROOM) await alice.sees('alice');
    }
    await backAt(stage.service, withAlice);
    await alice.leave();
    await backAt(stage.service, empty);
  });
}

async function backAt(service, wanted) {
  await eventually('every count is back', async () => {
    assert.deepEqual((await service.metrics()).gauges(), wanted);
    return true;
  });
}

/** The counts once they stand still. */
async function settled(service) {
  let last = null;
  return eventually('the counts stand still', async () => {
    const now = (await service.metrics()).gauges();
    const isStill = JSON.stringify(now) === last;
    last = JSON.stringify(now);
    return isStill && now;
  });
}
