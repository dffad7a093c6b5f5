// Someone in a call without a user interface: publishes pictures and tones as the test wants them, and reads what arrives.

import assert from 'node:assert/strict';
import { build } from 'esbuild';
import { fileURLToPath } from 'node:url';
import { eventually } from './eventually.js';
import { Person } from './person.js';
import { tonesOf, TONES_OF_SCREEN } from './tones.js';

const PAGE = fileURLToPath(new URL('page/main.js', import.meta.url));

/** So many pictures in a row must be right before a stream counts as read: a second and more. */
const PICTURES_MIN = 12;

/** Numbers of pictures: each source of each person has its own, and none is 0. */
const NUMBERS = { camera: 16, screen: 32 };

/** Of a stream that is asked for and not there yet. */
const NOTHING_SEEN = { frames: 0, pictures: 0, numbers: {}, unreadable: 0, backward: 0 };

let script = null;

/** The page's program, with mediasoup-client in it. */
async function pageScript() {
  script ??= build({ entryPoints: [PAGE], bundle: true, format: 'iife', target: 'es2022', write: false, logLevel: 'warning' });
  return (await script).outputFiles[0].text;
}

export class Caller extends Person {
  /** What this person can be seen with: the number by source. */
  pictures = {};

  /** Loads the page; everything in it happens on the service's own origin, where it is a secure one. */
  async load(service) {
    this.service = service;
    await this.page.goto(service.url('/healthz'));
    await this.page.evaluate(await pageScript());
  }

  /** Enters a room; everything in it is received from then on. */
  async join(room) {
    const url = this.service.url('/signaling').replace('http', 'ws');
    await this.tell('join', { url, token: this.service.token(this.userId), room });
  }

  async leave() {
    await this.tell('leave');
    this.pictures = {};
    this.sounds = {};
  }

  /** Calls a function of the page's `caller`. */
  tell(name, ...values) {
    return this.page.evaluate((wanted, given) => caller[wanted](...given), name, values);
  }

  /** Sends pictures with a number of this person's own. Gives the time at which the service had them. */
  async show(source = 'camera', options = {}) {
    this.pictures[source] = NUMBERS[source] + this.index;
    return this.tell('showPicture', { source, number: this.pictures[source], ...options });
  }

  /** Sends pictures with another number in the place of those that are sent. */
  async showAnother(source = 'camera') {
    this.pictures[source] += 2 * NUMBERS.screen;
    await this.tell('replacePicture', { source, number: this.pictures[source] });
  }

  /** Plays tones of this person's own. */
  async play(source = 'mic') {
    this.sounds[source] = tonesOf(this.index + (source === 'mic' ? 0 : TONES_OF_SCREEN));
    await this.tell('playTones', { source, tones: this.sounds[source] });
  }

  async stop(source) {
    await this.tell('unpublish', source);
    delete this.pictures[source];
    delete this.sounds[source];
  }

  /** What is received, and what its pictures said. */
  look() {
    return this.tell('look');
  }

  /** What is received of a user and flows. */
  async streamsOf(userId) {
    return (await this.look()).filter((stream) => stream.userId === userId && stream.resumedAt !== null);
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
        const seen = await this.#seen();
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

  /** Waits until no new picture of a stream is shown, and checks that it stays so. */
  async seesNothingNewOf({ userId }, source = 'camera') {
    await eventually(`${this.userId} sees nothing new of ${userId}`, async () => {
      await this.tell('forget');
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      const { frames } = await this.seenOf({ userId }, source);
      assert.equal(frames, 0);
      return true;
    });
  }

  /** Waits until the service has told so of someone's state, for example `{ screenSharing: true }`. */
  async isTold({ userId }, wanted) {
    await eventually(`${this.userId} is told that ${userId} is ${JSON.stringify(wanted)}`, async () => {
      const state = (await this.tell('states'))[userId];
      assert.deepEqual({ ...state, ...wanted }, state);
      return true;
    });
  }

  /** What the browser counts of a stream that it receives. */
  async received({ userId }, source = 'camera') {
    const streams = await this.page.evaluate(() => instruments.videoReceived());
    return streams.find((entry) => entry.userId === userId && entry.source === source)?.counts ?? null;
  }

  /** What the browser counts of each encoding that it sends. */
  sent() {
    return this.page.evaluate(() => instruments.videoSent());
  }

  /** Waits for the first picture of a stream; gives the moments of its beginning, in milliseconds since the Unix epoch. */
  firstPictureOf({ userId }, source = 'camera') {
    return eventually(`${this.userId} sees a first picture of ${userId}`, async () => {
      const stream = (await this.look()).find((entry) => entry.userId === userId && entry.source === source);
      return stream?.firstAt && stream;
    });
  }

  /** What was seen of a stream since `forget`. */
  async seenOf({ userId }, source = 'camera') {
    return (await this.#seen())[`${userId} ${source}`] ?? NOTHING_SEEN;
  }

  async #seen() {
    const streams = (await this.look()).filter(({ kind }) => kind === 'video');
    return Object.fromEntries(streams.map(({ userId, source, seen }) => [`${userId} ${source}`, seen ?? NOTHING_SEEN]));
  }
}
