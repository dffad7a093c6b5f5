// The web client with cameras and screens: whoever opens them is seen by everyone, in the own tile.

import { scenario } from '../scenario.js';

const ROOM = 'gallery';

for (const shards of [1, 2]) {
  scenario('cameras and a screen are seen and heard in the tiles of two browsers', { shards }, async (stage) => {
    const alice = await stage.join('alice', ROOM);
    const bob = await stage.join('bob', ROOM);
    const carol = await stage.join('carol', ROOM, 'firefox');
    const people = [alice, bob, carol];
    for (const person of people) await person.seesThat('bob', { picture: 'off' });
    for (const person of people) await person.startCamera();
    await everyoneReads(people);
    for (const person of people) await person.seesThat('bob', { picture: 'live' });

    await alice.shareScreen();
    await everyoneReads(people);
    await bob.hears(alice, carol);
    await carol.hears(alice, bob);
    await stage.picture(bob, `tiles-chromium-${shards}`);
    await stage.picture(carol, `tiles-firefox-${shards}`);

    await alice.stopSharing();
    await bob.stopCamera();
    await everyoneReads(people);
    for (const person of people) await person.seesThat('bob', { picture: 'off' });
    await bob.hears(alice, carol);

    await bob.startCamera();
    await carol.leave();
    await everyoneReads([alice, bob]);
  });
}

scenario('a tab that is shared by the browser itself is seen and heard', {}, async (stage) => {
  const alice = await stage.person('alice', 'chromium', { sharesTab: true });
  await alice.join(stage.link('alice', ROOM));
  const bob = await stage.join('bob', ROOM);
  const carol = await stage.join('carol', ROOM, 'firefox');
  await alice.shareScreen();
  for (const viewer of [bob, carol]) {
    await viewer.reads(alice);
    await viewer.hears(...[alice, bob, carol].filter((other) => other !== viewer));
  }
  await alice.stopSharing();
  for (const viewer of [bob, carol]) await viewer.reads();
});

scenario('a second screen is in view beside the first', {}, async (stage) => {
  const alice = await stage.join('alice', ROOM);
  const bob = await stage.join('bob', ROOM);
  const viewers = [await stage.join('carol', ROOM), await stage.join('dave', ROOM, 'firefox')];
  for (const { page } of viewers) await page.setViewport({ width: 1280, height: 800 });
  for (const shown of [[alice], [alice, bob]]) {
    await shown.at(-1).shareScreen();
    for (const viewer of viewers) await viewer.seesWholeScreensOf(...shown);
  }
  for (const viewer of viewers) await viewer.reads(alice, bob);
});

async function everyoneReads(people) {
  for (const person of people) await person.reads(...people.filter((other) => other !== person));
}
