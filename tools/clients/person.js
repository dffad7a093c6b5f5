// Someone with a browser page of their own: plays tones, listens to what arrives, and may end as a crash does.

import assert from 'node:assert/strict';
import { eventually, steadily } from './eventually.js';
import { install } from './instruments.js';
import { FREQUENCIES, heard, tonesOf } from './tones.js';

/** So many looks in a row must agree before something counts as heard, or as silent. */
const LOOKS = 6;

export class Person {
  /** What the page has written to its console, and its uncaught errors. */
  console = [];
  /** What this person can be heard with: the tones by source; none for one that is silent. */
  sounds = {};

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
