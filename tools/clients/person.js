// Someone with a browser page of their own: plays tones, listens to what arrives, and may end as a crash does.

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { eventually, steadily } from './eventually.js';
import { install } from './instruments.js';
import { FREQUENCIES, heard, tonesOf } from './tones.js';

/** So many looks in a row must agree before something counts as heard, or as silent. */
const LOOKS = 6;

/** So many pictures in a row must be right before a stream counts as read: a second and more. */
const PICTURES_MIN = 12;

/** So long nothing new is to be seen before a picture counts as standing. */
const STANDING_MS = 1_500;

/** Of a stream that is not there yet. */
const NOTHING_SEEN = { frames: 0, pictures: 0, numbers: {}, unreadable: 0, backward: 0 };

/** Numbers of pictures: each source of each person has its own, and none is 0. */
const NUMBERS = { camera: 16, screen: 32 };

/** The number of what the n-th participant shows. */
export function numberOf(index, source) {
  return NUMBERS[source] + index;
}

let script = null;

/** The program that the tests speak with in a page. */
export async function pageScript() {
  const entry = fileURLToPath(new URL('page/main.js', import.meta.url));
  script ??= build({ entryPoints: [entry], bundle: true, format: 'iife', target: 'es2022', write: false, logLevel: 'warning' });
  return (await script).outputFiles[0].text;
}

export class Person {
  /** What the page has written to its console, and its uncaught errors. */
  console = [];
  /** What this person can be heard with: the tones by source; none for one that is silent. */
  sounds = {};

  /** What this person can be seen with: the number by source. */
  pictures = {};

  /** Opens a page of its own; `index` says which tones its microphone plays, null leaves the real one. */
  static async open(browser, { userId, index = null }) {
    const person = new this();
    person.userId = userId;
    person.index = index;
    if (index !== null) person.sounds.mic = tonesOf(index);
    person.context = await browser.createBrowserContext();
    person.page = await person.context.newPage();
    person.page.on('console', (message) => person.console.push(`${message.type()}: ${message.text()}`));
    person.page.on('pageerror', (error) => person.console.push(`uncaught: ${error.message}`));
    person.page.on('error', (error) => person.console.push(`crashed: ${error.message}`));
    await person.page.evaluateOnNewDocument(install, person.sounds.mic ?? null);
    return person;
  }

  /** Calls a function of the page's `caller`. */
  tell(name, ...values) {
    return this.page.evaluate((wanted, given) => caller[wanted](...given), name, values);
  }

  /** What is heard of each stream: the tones on the left and on the right. */
  async listen() {
    const levels = await this.page.evaluate((frequencies) => instruments.levels(frequencies), FREQUENCIES);
    return Object.fromEntries(
      levels.map(({ userId, source, left, right }) => [`${userId} ${source}`, { left: heard(left), right: heard(right) }]),
    );
  }

  /**
   * Waits until of each of these, and of nobody else, exactly the own left tone is heard on the left and the right on the
   * right; and checks that it stays so. Someone without tones is to be received and silent. Everything that the page
   * receives is listened to, so an own tone, another room's, or sides in exchange would be heard.
   */
  async hears(...others) {
    const wanted = Object.fromEntries(
      others.flatMap(({ userId, sounds }) =>
        Object.entries(sounds).map(([source, tones]) => [
          `${userId} ${source}`,
          { left: tones ? [tones.left] : [], right: tones ? [tones.right] : [] },
        ]),
      ),
    );
    const names = Object.keys(wanted);
    await eventually(`${this.userId} hears ${names.length ? names : 'nobody'}`, async () => {
      await steadily(LOOKS, async () => assert.deepEqual(sorted(await this.listen()), sorted(wanted)));
      return true;
    });
  }

  /**
   * Waits until of each of these, and of nobody else, exactly the own pictures are read, one after the other, for more
   * than a second.
   */
  async reads(...others) {
    const wanted = Object.fromEntries(
      others.flatMap(({ userId, pictures }) => Object.entries(pictures).map(([source, number]) => [`${userId} ${source}`, number])),
    );
    const names = Object.keys(wanted);
    await eventually(`${this.userId} reads ${names.length ? names : 'nothing'}`, async () => {
      await this.tell('forget');
      await eventually('there are enough pictures', async () => {
        const seen = await this.seen();
        assert.deepEqual(Object.keys(seen).sort(), names.toSorted());
        for (const [name, { numbers, unreadable, backward }] of Object.entries(seen)) {
          assert.deepEqual({ unreadable, backward }, { unreadable: 0, backward: 0 }, name);
          for (const number of Object.keys(numbers)) assert.equal(Number(number), wanted[name], name);
        }
        return Object.values(seen).every(({ pictures }) => pictures >= PICTURES_MIN);
      }, 5_000);
      return true;
    });
  }

  /** Waits until no new picture of these people's cameras is shown, and checks that it stays so. */
  async seesNothingNewOf(...others) {
    await eventually(`${this.userId} sees nothing new of ${others.map(({ userId }) => userId)}`, async () => {
      await this.tell('forget');
      await new Promise((resolve) => setTimeout(resolve, STANDING_MS));
      for (const other of others) assert.equal((await this.seenOf(other)).frames, 0, other.userId);
      return true;
    });
  }

  /** What was seen of each stream of the others since `forget`. */
  async seen() {
    const others = (await this.tell('seen')).filter(({ userId }) => userId !== this.userId);
    return Object.fromEntries(others.map(({ userId, source, seen }) => [`${userId} ${source}`, seen]));
  }

  /** What was seen of one stream since `forget`. */
  async seenOf({ userId }, source = 'camera') {
    return (await this.seen())[`${userId} ${source}`] ?? NOTHING_SEEN;
  }

  /** Waits until no packet comes from these any more, and checks that it stays so. */
  async getsNoPacketsOf(...others) {
    await eventually(`${this.userId} gets no packets of ${others.map(({ userId }) => userId)}`, async () => {
      const before = await this.packets();
      await steadily(LOOKS, async () => {
        const now = await this.packets();
        for (const { userId } of others) assert.equal(now[userId], before[userId], `packets of ${userId}`);
      });
      return true;
    });
  }

  /** Packets of sound received from each user so far. */
  packets() {
    return this.page.evaluate(() => instruments.packets());
  }

  /** Ends the page without a word to the service, as a crash does. */
  async kill() {
    const session = await this.page.createCDPSession();
    // The answer never comes: who would give it is gone.
    session.send('Page.crash').catch(() => {});
    await eventually('the tab has crashed', () => this.console.some((line) => line.startsWith('crashed')));
  }

  async close() {
    await this.context.close().catch(() => {});
  }
}

function sorted(byStream) {
  return Object.entries(byStream).toSorted(([one], [other]) => one.localeCompare(other));
}
