// Cameras and screens through a call: who comes, goes, pauses and changes what is shown.

import assert from 'node:assert/strict';
import { eventually } from '../eventually.js';
import { scenario } from '../scenario.js';

const ROOM = 'studio';

/** A first picture is there within a second. */
const FIRST_PICTURE_MS = 1_000;
/** A key frame may have to wait for a second since the one before. */
const KEY_FRAME_MS = 5_000;

for (const shards of [1, 2]) {
  scenario('a screen with its sound is there within a second beside camera and microphone', { shards }, async (stage) => {
    const alice = await stage.call('alice', ROOM);
    const bob = await stage.call('bob', ROOM);
    const carol = await stage.call('carol', ROOM, 'firefox');
    await alice.show();
    await alice.play();
    for (const viewer of [bob, carol]) await viewer.reads(alice);

    const sharedAt = await alice.show('screen', { width: 640, height: 360 });
    await alice.play('screenAudio');
    for (const viewer of [bob, carol]) {
      const { resumedAt, firstAt } = await viewer.firstPictureOf(alice, 'screen');
      stage.diagnostic(`${viewer.userId} sees the screen ${ms(firstAt - sharedAt)} after sharing, resumed after ${ms(resumedAt - sharedAt)}`);
      isSoon(firstAt - sharedAt, `${viewer.userId}, from sharing`);
      await viewer.reads(alice);
      await viewer.hears(alice);
      await viewer.isTold(alice, { videoEnabled: true, screenSharing: true });
    }

    await alice.stop('screen');
    await alice.stop('screenAudio');
    for (const viewer of [bob, carol]) {
      await viewer.reads(alice);
      await viewer.hears(alice);
      await viewer.isTold(alice, { videoEnabled: true, screenSharing: false });
    }
  });

  scenario('who comes late sees everyone within a second, and who goes is seen no more', { shards }, async (stage) => {
    const alice = await stage.call('alice', ROOM);
    const carol = await stage.call('carol', ROOM, 'firefox');
    for (const person of [alice, carol]) await person.show();
    await alice.show('screen');
    await alice.reads(carol);
    await carol.reads(alice);

    const [bob, dave] = [await stage.caller('bob'), await stage.caller('dave')];
    for (const viewer of [bob, dave]) {
      await viewer.join(ROOM);
      for (const [person, source] of [[alice, 'camera'], [alice, 'screen'], [carol, 'camera']]) {
        const { joinedAt, resumedAt, firstAt } = await viewer.firstPictureOf(person, source);
        const what = `${viewer.userId} sees ${person.userId}'s ${source}`;
        stage.diagnostic(`${what} ${ms(firstAt - joinedAt)} after joining, resumed after ${ms(resumedAt - joinedAt)}`);
        isSoon(firstAt - joinedAt, what);
      }
      await viewer.reads(alice, carol);
    }

    await dave.show();
    await bob.reads(alice, carol, dave);
    await dave.leave();
    await bob.reads(alice, carol);
    await bob.show();
    await carol.reads(alice, bob);
    await bob.kill();
    await carol.reads(alice);
    await alice.reads(carol);

    const again = await stage.call('bob', ROOM);
    await again.show();
    await again.reads(alice, carol);
    await carol.reads(alice, again);
  });

  scenario('pictures go on after a pause of publisher or viewer, with another track, and after a key frame', { shards }, async (stage) => {
    const alice = await stage.call('alice', ROOM);
    const bob = await stage.call('bob', ROOM);
    const carol = await stage.call('carol', ROOM, 'firefox');
    for (const person of [alice, carol]) await person.show();
    await everyoneReads(alice, bob, carol);

    // Chromium and Firefox switch the camera off and on, each in one of the two ways.
    await alice.tell('request', 'updateState', { videoEnabled: false });
    await carol.tell('pause', 'camera');
    await bob.seesNothingNewOf(alice, carol);
    await carol.seesNothingNewOf(alice);
    await alice.seesNothingNewOf(carol);
    await alice.tell('request', 'updateState', { videoEnabled: true });
    await carol.tell('resume', 'camera');
    await everyoneReads(alice, bob, carol);

    for (const viewer of [bob, carol]) await viewer.tell('requestOf', 'alice', 'camera', 'pauseConsumer');
    for (const viewer of [bob, carol]) await viewer.seesNothingNewOf(alice);
    for (const viewer of [bob, carol]) await viewer.tell('requestOf', 'alice', 'camera', 'resumeConsumer');
    await everyoneReads(alice, bob, carol);

    for (const person of [alice, carol]) await person.showAnother();
    await everyoneReads(alice, bob, carol);

    for (const person of [alice, carol]) {
      const before = (await bob.received(person)).keyFramesDecoded;
      await bob.tell('requestOf', person.userId, 'camera', 'requestKeyFrame');
      const isNew = async () => (await bob.received(person)).keyFramesDecoded > before;
      await eventually(`a key frame of ${person.userId} comes`, isNew, KEY_FRAME_MS);
    }
    await everyoneReads(alice, bob, carol);
  });
}

async function everyoneReads(alice, bob, carol) {
  await Promise.all([alice.reads(carol), bob.reads(alice, carol), carol.reads(alice)]);
}

function isSoon(durationMs, what) {
  assert.ok(durationMs < FIRST_PICTURE_MS, `${what} after ${ms(durationMs)}, and ${ms(FIRST_PICTURE_MS)} are allowed`);
}

function ms(duration) {
  return `${Math.round(duration)} ms`;
}
