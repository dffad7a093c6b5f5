// A person before the web client: types, clicks and looks.

import assert from 'node:assert/strict';
import { eventually } from './eventually.js';
import { Person } from './person.js';

export class Participant extends Person {
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
}
