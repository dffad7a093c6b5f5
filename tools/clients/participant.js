// A person before the page: types, clicks, looks and listens.

import assert from 'node:assert/strict';
import { eventually, steadily } from './eventually.js';
import { install } from './instruments.js';
import { FREQUENCIES, heard, tonesOf } from './tones.js';

/** So many looks in a row must agree before something counts as heard, or as silent. */
const LOOKS = 6;

export class Participant {
  /** What the page has written to its console, and its uncaught errors. */
  console = [];

  /** Opens a page of its own; `index` says which tones its microphone plays, null leaves the real one. */
  static async open(browser, { userId, index = null }) {
    const participant = new Participant();
    participant.userId = userId;
    participant.tones = index === null ? null : tonesOf(index);
    participant.context = await browser.createBrowserContext();
    participant.page = await participant.context.newPage();
    participant.page.on('console', (message) => participant.console.push(`${message.type()}: ${message.text()}`));
    participant.page.on('pageerror', (error) => participant.console.push(`uncaught: ${error.message}`));
    participant.page.on('error', (error) => participant.console.push(`crashed: ${error.message}`));
    await participant.page.evaluateOnNewDocument(install, participant.tones);
    return participant;
  }

  /** Opens a link, joins and waits until the room is there. */
  async join(link) {
    await this.tryJoin(link);
    await eventually(`${this.userId} is in the room`, async () => {
      const { view, notice } = await this.look();
      assert.equal(view, 'call', `the page says: ${notice}`);
      return true;
    });
  }

  /** Opens a link and presses the button; what comes of it is for the caller to see. */
  async tryJoin(link) {
    // The same page with another fragment would not be loaded again.
    await this.page.goto('about:blank');
    await this.page.goto(link, { waitUntil: 'load' });
    await this.press('Join the room');
  }

  /** Presses the button with this label, as soon as it is there. */
  async press(label) {
    await eventually(`${this.userId} can press ${label}`, () =>
      this.page.evaluate((wanted) => {
        const buttons = [...document.querySelectorAll('button:enabled')];
        const button = buttons.find(({ textContent }) => textContent.trim() === wanted);
        button?.click();
        return button !== undefined;
      }, label),
    );
  }

  async leave() {
    await this.press('Leave');
    await eventually(`${this.userId} is at the entrance`, async () => (await this.look()).view === 'entrance');
  }

  /** What the page shows. */
  look() {
    return this.page.evaluate(() => ({
      view: document.querySelector('[data-view]')?.dataset.view,
      connection: document.querySelector('.connection')?.dataset.state ?? null,
      notice: document.querySelector('[data-notice]')?.dataset.notice ?? null,
      noticeText: document.querySelector('[data-notice]')?.textContent ?? null,
      people: Object.fromEntries(
        [...document.querySelectorAll('.tile')].map(({ dataset }) => [
          dataset.user,
          {
            muted: dataset.muted === 'true',
            deafened: dataset.deafened === 'true',
            speaking: dataset.speaking === 'true',
            status: dataset.status,
          },
        ]),
      ),
    }));
  }

  /** Waits until the page shows exactly these people, whatever their order. */
  async sees(...userIds) {
    await eventually(`${this.userId} sees ${userIds}`, async () => {
      const { people } = await this.look();
      assert.deepEqual(Object.keys(people).sort(), userIds.toSorted());
      return true;
    });
  }

  /** Waits until the page shows someone so, for example `{ muted: true }`. */
  async seesThat(userId, wanted) {
    await eventually(`${this.userId} sees that ${userId} is ${JSON.stringify(wanted)}`, async () => {
      const person = (await this.look()).people[userId];
      assert.deepEqual({ ...person, ...wanted }, person);
      return true;
    });
  }

  /** What is heard of each user: the tones on the left and on the right. */
  async listen() {
    const levels = await this.page.evaluate((frequencies) => instruments.levels(frequencies), FREQUENCIES);
    return Object.fromEntries(levels.map(({ userId, left, right }) => [userId, { left: heard(left), right: heard(right) }]));
  }

  /**
   * Waits until of each of these, and of nobody else, exactly the own left tone is heard on the left and the right on the
   * right; and checks that it stays so. Someone without tones is to be received and silent. Everything that the page receives is listened to, so an own tone, another room's,
   * or sides in exchange would be heard.
   */
  async hears(...others) {
    const wanted = Object.fromEntries(
      others.map(({ userId, tones }) => [userId, { left: tones ? [tones.left] : [], right: tones ? [tones.right] : [] }]),
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

  /** Packets received from each user so far. */
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

function sorted(byUser) {
  return Object.entries(byUser).toSorted(([one], [other]) => one.localeCompare(other));
}
