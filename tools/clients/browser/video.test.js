// Cameras and screens through a call: who comes, goes, pauses and changes what is shown.

import assert from 'node:assert/strict';
import { eventually } from '../eventually.js';
import { scenario } from '../scenario.js';

const ROOM = 'studio';

/** A first picture is there within a second. */
const FIRST_PICTURE_MS = 1_000;

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
      isWithin(FIRST_PICTURE_MS, firstAt - sharedAt, `${viewer.userId}: from sharing (resumed after ${Math.round(resumedAt - sharedAt)} ms)`);
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
        const what = `${viewer.userId}: ${person.userId}'s ${source}`;
        isWithin(FIRST_PICTURE_MS, firstAt - resumedAt, `${what}, from resumed on`);
        isWithin(FIRST_PICTURE_MS, firstAt - joinedAt, `${what}, from joining (resumed after ${Math.round(resumedAt - joinedAt)} ms)`);
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

  scenario('a camera that is switched off shows nothing, and on again its pictures go on', { shards }, async (stage) => {
    const alice = await stage.call('alice', ROOM);
    const bob = await stage.call('bob', ROOM);
    const carol = await stage.call('carol', ROOM, 'firefox');
    for (const person of [alice, carol]) await person.show();
    for (const [person, viewers] of [[alice, [bob, carol]], [carol, [alice, bob]]]) {
      for (const viewer of viewers) await viewer.reads(...[alice, carol].filter((other) => other !== viewer));
      const switches = {
        videoEnabled: (isOn) => person.tell('request', 'updateState', { videoEnabled: isOn }),
        pause: (isOn) => person.tell(isOn ? 'resume' : 'pause', 'camera'),
      };
      for (const change of Object.values(switches)) {
        await change(false);
        for (const viewer of viewers) await viewer.seesNothingNewOf(person);
        await change(true);
        for (const viewer of viewers) await viewer.reads(...[alice, carol].filter((other) => other !== viewer));
      }
    }
  });
}

scenario('a viewer who looks away for a while sees the pictures go on', {}, async (stage) => {
  const alice = await stage.call('alice', ROOM);
  const bob = await stage.call('bob', ROOM);
  const carol = await stage.call('carol', ROOM, 'firefox');
  await alice.show();
  for (const viewer of [bob, carol]) {
    await viewer.reads(alice);
    await viewer.tell('requestOf', 'alice', 'camera', 'pauseConsumer');
    await viewer.seesNothingNewOf(alice);
    await viewer.tell('requestOf', 'alice', 'camera', 'resumeConsumer');
    await viewer.reads(alice);
  }
});

scenario('another track in the place of the camera is seen at once', {}, async (stage) => {
  const alice = await stage.call('alice', ROOM);
  const bob = await stage.call('bob', ROOM);
  const carol = await stage.call('carol', ROOM, 'firefox');
  for (const person of [alice, carol]) await person.show();
  await bob.reads(alice, carol);
  for (const person of [alice, carol]) await person.showAnother();
  await bob.reads(alice, carol);
  await carol.reads(alice);
  await alice.reads(carol);
});

scenario('a key frame that is asked for comes, in both browsers', {}, async (stage) => {
  const alice = await stage.call('alice', ROOM);
  const bob = await stage.call('bob', ROOM);
  const carol = await stage.call('carol', ROOM, 'firefox');
  for (const person of [alice, carol]) await person.show();
  await bob.reads(alice, carol);
  for (const person of [alice, carol]) {
    const before = (await bob.received(person)).keyFramesDecoded;
    await bob.tell('requestOf', person.userId, 'camera', 'requestKeyFrame');
    await eventually(`a key frame of ${person.userId} comes`, async () => {
      return (await bob.received(person)).keyFramesDecoded > before;
    }, 5_000);
    await bob.reads(alice, carol);
  }
});

function isWithin(limitMs, durationMs, what) {
  assert.ok(durationMs < limitMs, `${what}: ${Math.round(durationMs)} ms, and ${limitMs} ms are allowed`);
}
