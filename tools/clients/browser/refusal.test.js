// Who is not let in, or not heard, is told so in a sentence; and a call that others hold goes on.

import assert from 'node:assert/strict';
import { eventually } from '../eventually.js';
import { scenario } from '../scenario.js';
import { CONNECT, SPEAK } from '../service.js';

const ROOM = 'lobby';

/** Waits until the entrance shows this notice. */
async function isRefused(person, wanted) {
  await eventually(`${person.userId} is told ${wanted}`, async () => {
    const { view, notice } = await person.look();
    assert.deepEqual([view, notice], ['entrance', wanted]);
    return true;
  });
}

scenario('a refused token is told as such', {}, async (stage) => {
  const person = await stage.person('mallory');
  const expired = stage.service.token('mallory', { exp: Math.floor(Date.now() / 1000) - 3600 });
  const [header, payload] = stage.service.token('mallory').split('.');
  const unsigned = `${Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url')}.${payload}.`;
  for (const token of [expired, `${header}.${payload}.${'A'.repeat(43)}`, unsigned]) {
    await person.tryJoin(stage.service.link(ROOM, token));
    await isRefused(person, 'tokenRefused');
  }
});

scenario('a link with half a token is told as such, before anything is asked', {}, async (stage) => {
  const person = await stage.person('mallory');
  await person.page.goto(stage.service.link(ROOM, 'abc.def.ghi'));
  await isRefused(person, 'linkBroken');
});

scenario('the address of a call is no way to take it over, and a reload comes back to it', {}, async (stage) => {
  const alice = await stage.join('alice', ROOM);
  const { hash } = new URL(await alice.page.evaluate(() => location.href));
  assert.equal(hash, `#room=${ROOM}`);
  const bob = await stage.person('bob');
  await bob.tryJoin(stage.service.url(`/${hash}&name=bob`));
  await isRefused(bob, 'tokenMissing');
  await alice.page.reload();
  await alice.press('Join the room');
  await alice.sees('alice');
});

scenario('without a token the page says that one is needed', {}, async (stage) => {
  const person = await stage.person('nobody');
  await person.tryJoin(stage.service.url(`/#room=${ROOM}&name=nobody`));
  await isRefused(person, 'tokenMissing');
});

scenario('without CONNECT nobody gets in, and with it the same person does', {}, async (stage) => {
  const alice = await stage.join('alice', ROOM);
  const bob = await stage.person('bob', 'firefox');
  await bob.tryJoin(stage.link('bob', ROOM, { permissions: SPEAK }));
  await isRefused(bob, 'forbidden');
  await alice.sees('alice');
  await bob.join(stage.link('bob', ROOM));
  await alice.hears(bob);
});

scenario('without SPEAK one hears the others and is not heard', {}, async (stage) => {
  const alice = await stage.join('alice', ROOM);
  const bob = await stage.person('bob');
  await bob.join(stage.link('bob', ROOM, { permissions: CONNECT }));
  await eventually('bob is told that he may only listen', async () => {
    assert.equal((await bob.look()).notice, 'microphone-forbidden');
    return true;
  });
  // Pictures need a right too. Once that is known nothing is opened any more, and it is told again.
  await bob.press('Start camera');
  await bob.press('No sharing');
  await eventually('bob is told that he may not share his screen', () => bob.page.$('[data-notice=screen-forbidden]'));
  await bob.hears(alice);
  await alice.sees('alice', 'bob');
  await alice.hears();
});

scenario('a second session of one user ends the first', {}, async (stage) => {
  const alice = await stage.join('alice', ROOM);
  const first = await stage.join('bob', ROOM);
  await alice.hears(first);
  const second = await stage.join('bob', ROOM, 'firefox');
  await isRefused(first, 'takenOver');
  await alice.sees('alice', 'bob');
  await alice.hears(second);
  await second.hears(alice);
  // The first is not to come back by itself and end the second in turn.
  await isRefused(first, 'takenOver');
});
