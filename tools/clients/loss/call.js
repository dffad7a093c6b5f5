// One call over a lossy network, from inside of it: two Chromium and one Firefox, each with a camera and a microphone. Prints
// as JSON what each received of each other at each loss, a line for each. `loss/measurement.js` starts it.
//
// Arguments: seconds to measure at each loss, and the losses in per cent.

import { setTimeout as pause } from 'node:timers/promises';
import { closeBrowsers, Stage } from '../stage.js';
import { LossyNetwork } from './network.js';

const [seconds, ...losses] = process.argv.slice(2).map(Number);
const ROOM = 'far-away';
/** What is heard is looked at so often a second. */
const LISTENS_PER_SECOND = 2;
/** After a change of the loss the browsers find out for so long what the way bears. */
const SETTLING_MS = 3_000;

const network = LossyNetwork.around();
const stage = await Stage.open({ address: network.serviceAddress, command: network.serviceCommand });
try {
  await call();
} finally {
  await stage.close();
  await closeBrowsers();
}

async function call() {
  for (const [userId, kind] of [['alice', 'chromium'], ['bob', 'chromium'], ['carol', 'firefox']]) {
    await stage.call(userId, ROOM, kind);
  }
  const { people } = stage;
  for (const person of people) {
    await person.show('camera', { codec: 'video/vp8' });
    await person.play();
  }
  const ways = people.flatMap((viewer) => people.filter((other) => other !== viewer).map((publisher) => ({ viewer, publisher })));
  for (const { viewer, publisher } of ways) await viewer.firstPictureOf(publisher);
  for (const loss of losses) console.log(JSON.stringify(await measure(ways, loss)));
}

async function measure(ways, loss) {
  const { people } = stage;
  await network.lose(loss);
  await pause(SETTLING_MS);
  const packets = await network.counts();
  for (const person of people) await person.tell('forget');
  const before = await counts(ways);
  const heard = new Map(people.map((person) => [person, []]));
  for (let listen = 0; listen < seconds * LISTENS_PER_SECOND; listen++) {
    for (const person of people) heard.get(person).push(await person.listen());
    await pause(1000 / LISTENS_PER_SECOND);
  }
  const after = await counts(ways);
  const { lost, passed } = await network.counts();
  const lostNow = lost - packets.lost;
  return {
    loss,
    measuredLoss: (100 * lostNow) / (lostNow + passed - packets.passed),
    ways: await Promise.all(
      ways.map(async ({ viewer, publisher }, place) => ({
        viewer: viewer.userId,
        publisher: publisher.userId,
        number: publisher.pictures.camera,
        tones: publisher.sounds.mic,
        seen: await viewer.seenOf(publisher),
        heard: heard.get(viewer).map((listen) => listen[`${publisher.userId} mic`]),
        seconds: (after[place].timestamp - before[place].timestamp) / 1000,
        counts: difference(before[place], after[place]),
      })),
    ),
  };
}

function counts(ways) {
  return Promise.all(ways.map(({ viewer, publisher }) => viewer.received(publisher)));
}

/** What was counted meanwhile; no browser counts everything. */
function difference(before, after) {
  const numbers = Object.entries(after).filter(([, value]) => typeof value === 'number');
  return Object.fromEntries(numbers.map(([name, value]) => [name, value - (before[name] ?? 0)]));
}
