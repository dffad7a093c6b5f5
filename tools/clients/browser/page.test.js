// The page when something is missing: it says so, goes on with the rest, and comes back by itself where it can.

import assert from 'node:assert/strict';
import { eventually } from '../eventually.js';
import { scenario } from '../scenario.js';

const ROOM = 'lobby';

async function isTold(person, wanted) {
  await eventually(`${person.userId} is told ${wanted}`, async () => {
    assert.equal((await person.look()).notice, wanted);
    return true;
  });
}

scenario('who has no microphone, or denies it, is told so and hears the others', {}, async (stage) => {
  const alice = await stage.join('alice', ROOM);
  const bob = await stage.personWithoutMicrophone('bob', 'NotAllowedError');
  await bob.join(stage.link('bob', ROOM));
  await isTold(bob, 'microphone-denied');
  await bob.hears(alice);
  const carol = await stage.personWithoutMicrophone('carol', 'NotFoundError');
  await carol.join(stage.link('carol', ROOM));
  await isTold(carol, 'microphone-missing');
  await carol.hears(alice);
  for (const userId of ['bob', 'carol']) {
    for (const person of [alice, carol]) await person.seesThat(userId, { status: 'listening', voiceless: true });
  }
  await alice.hears();
});

scenario('a page comes back by itself, muted as it was, when the service does', {}, async (stage) => {
  const alice = await stage.join('alice', ROOM);
  const bob = await stage.join('bob', ROOM, 'firefox');
  await alice.hears(bob);
  await alice.press('Mute');
  await bob.seesThat('alice', { muted: true });

  await stage.service.end('SIGKILL');
  for (const person of [alice, bob]) {
    await eventually(`${person.userId} sees that the connection is lost`, async () => {
      assert.equal((await person.look()).connection, 'reconnecting');
      return true;
    });
  }
  await stage.service.launch();
  await alice.sees('alice', 'bob');
  await alice.hears(bob);
  await bob.sees('alice', 'bob');
  await bob.seesThat('alice', { muted: true });
  await alice.press('Unmute');
  await bob.hears(alice);
});

scenario('nothing in the page goes against its own security policy', {}, async (stage) => {
  const alice = await stage.join('alice', ROOM);
  const bob = await stage.join('bob', ROOM);
  await alice.hears(bob);
  assert.deepEqual(alice.console, []);
  const { headers } = await fetch(stage.service.url('/'));
  assert.match(headers.get('content-security-policy') ?? '', /script-src 'self'/);
  assert.doesNotMatch(headers.get('content-security-policy'), /unsafe/);
});
