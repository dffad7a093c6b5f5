// Calls of real browsers: everyone hears exactly the others, each side on its side.

import { scenario } from '../scenario.js';

const ROOM = 'lobby';

for (const shards of [1, 2]) {
  scenario('three people in two browsers hear exactly each other, in stereo', { shards }, async (stage) => {
    const alice = await stage.join('alice', ROOM);
    const bob = await stage.join('bob', ROOM);
    const carol = await stage.join('carol', ROOM, 'firefox');
    for (const person of [alice, bob, carol]) await person.sees('alice', 'bob', 'carol');
    await alice.hears(bob, carol);
    await bob.hears(alice, carol);
    await carol.hears(alice, bob);
    await alice.seesThat('carol', { speaking: true });
    await carol.seesThat('alice', { speaking: true });
    await stage.picture(alice, `call-chromium-${shards}`);
    await stage.picture(carol, `call-firefox-${shards}`);
  });

  scenario('who comes late, leaves and comes back is heard while there', { shards }, async (stage) => {
    const alice = await stage.join('alice', ROOM);
    await alice.hears();
    const bob = await stage.join('bob', ROOM, 'firefox');
    await bob.hears(alice);
    await alice.hears(bob);
    const carol = await stage.join('carol', ROOM);
    await carol.hears(alice, bob);
    await bob.hears(alice, carol);

    await bob.leave();
    await alice.sees('alice', 'carol');
    await alice.hears(carol);
    await carol.hears(alice);

    await bob.join(stage.link('bob', ROOM));
    await bob.hears(alice, carol);
    await alice.hears(bob, carol);
    await carol.hears(alice, bob);
  });

  scenario('a tab that is killed is gone for the others, and its user can come back', { shards }, async (stage) => {
    const alice = await stage.join('alice', ROOM);
    const bob = await stage.join('bob', ROOM);
    const carol = await stage.join('carol', ROOM, 'firefox');
    await carol.hears(alice, bob);
    await bob.kill();
    await alice.sees('alice', 'carol');
    await alice.hears(carol);
    await carol.hears(alice);

    const again = await stage.join('bob', ROOM);
    await again.hears(alice, carol);
    await alice.hears(again, carol);
  });

  scenario('of who is muted nobody gets a packet', { shards }, async (stage) => {
    const alice = await stage.join('alice', ROOM);
    const bob = await stage.join('bob', ROOM);
    const carol = await stage.join('carol', ROOM, 'firefox');
    await alice.hears(bob, carol);
    await carol.hears(alice, bob);

    await alice.press('Mute');
    for (const person of [alice, bob, carol]) await person.seesThat('alice', { muted: true, speaking: false });
    await bob.getsNoPacketsOf(alice);
    await carol.getsNoPacketsOf(alice);
    await bob.hears(carol, silent(alice));
    await alice.hears(bob, carol);

    await alice.press('Unmute');
    await bob.seesThat('alice', { muted: false });
    await bob.hears(alice, carol);
    await carol.hears(alice, bob);
  });

  scenario('who is deafened gets no packets, and is heard all the same', { shards }, async (stage) => {
    const alice = await stage.join('alice', ROOM);
    const bob = await stage.join('bob', ROOM);
    const carol = await stage.join('carol', ROOM, 'firefox');
    await alice.hears(bob, carol);

    await alice.press('Deafen');
    for (const person of [alice, bob, carol]) await person.seesThat('alice', { deafened: true, muted: false });
    await alice.getsNoPacketsOf(bob, carol);
    await bob.hears(alice, carol);
    await carol.hears(alice, bob);

    // Who comes meanwhile is not sent to the deafened either.
    const dave = await stage.join('dave', ROOM);
    await dave.hears(alice, bob, carol);
    await alice.sees('alice', 'bob', 'carol', 'dave');
    await alice.getsNoPacketsOf(bob, carol, dave);

    await alice.press('Undeafen');
    await carol.seesThat('alice', { deafened: false });
    await alice.hears(bob, carol, dave);
  });
}

/** Someone whose stream is there and carries no tone. */
function silent({ userId }) {
  return { userId, sounds: { mic: null } };
}
