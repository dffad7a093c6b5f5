// A person before the web client: types, clicks and looks.

import assert from 'node:assert/strict';
import { SHARED_TITLE } from './browsers.js';
import { eventually } from './eventually.js';
import { install } from './instruments.js';
import { numberOf, pageScript, Person } from './person.js';
import { tonesOf } from './tones.js';

export class Participant extends Person {
  /**
   * Opens a page whose camera and screen, like its microphone, are the test's own; with `index` null, the real ones. Who
   * `sharesTab` has another tab with the same picture and sound, and the browser's own way to share it.
   */
  static async open(browser, { sharesTab = false, ...options }) {
    const participant = await super.open(browser, options);
    if (participant.index !== null) await participant.#installPictures(sharesTab);
    if (sharesTab) await participant.#openTab();
    return participant;
  }

  async #openTab() {
    const tab = await this.context.newPage();
    await tab.evaluateOnNewDocument(install, null);
    await tab.goto('about:blank');
    await tab.evaluate(await pageScript());
    const options = { title: SHARED_TITLE, number: numberOf(this.index, 'screen'), tones: tonesOf(this.index, 'screenAudio') };
    await tab.evaluate((given) => caller.exhibit(given), options);
    await this.page.bringToFront();
  }

  async #installPictures(sharesTab) {
    const [camera, screen] = ['camera', 'screen'].map((source) => numberOf(this.index, source));
    const options = { camera, screen: sharesTab ? null : screen, screenTones: tonesOf(this.index, 'screenAudio') };
    await this.page.evaluateOnNewDocument(`${await pageScript()}; caller.installPictures(${JSON.stringify(options)});`);
  }

  async startCamera() {
    await this.press('Start camera');
    this.pictures.camera = numberOf(this.index, 'camera');
  }

  async stopCamera() {
    await this.press('Stop camera');
    delete this.pictures.camera;
  }

  /** Shares the screen with its sound. */
  async shareScreen() {
    await this.press('Share screen');
    this.pictures.screen = numberOf(this.index, 'screen');
    this.sounds.screenAudio = tonesOf(this.index, 'screenAudio');
  }

  async stopSharing() {
    await this.press('Stop sharing');
    delete this.pictures.screen;
    delete this.sounds.screenAudio;
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
            voiceless: dataset.voiceless === 'true',
            speaking: dataset.speaking === 'true',
            status: dataset.status,
            picture: dataset.picture,
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

  /** Waits until the screens of these people, and no others, are on the stage, each in view from edge to edge. */
  async seesWholeScreensOf(...others) {
    await eventually(`${this.userId} sees the whole screens of ${others.map(({ userId }) => userId)}`, async () => {
      const inView = await this.page.evaluate(() => {
        const stage = document.querySelector('.screens').getBoundingClientRect();
        const isInside = (screen) => {
          const { top, bottom } = screen.getBoundingClientRect();
          return top >= stage.top - 1 && bottom <= stage.bottom + 1;
        };
        const screens = [...document.querySelectorAll('.screens .screen[data-picture=live]')];
        return Object.fromEntries(screens.map((screen) => [screen.dataset.user, isInside(screen)]));
      });
      assert.deepEqual(inView, Object.fromEntries(others.map(({ userId }) => [userId, true])));
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
}
