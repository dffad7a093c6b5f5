// Someone in a call without a user interface: publishes pictures and tones as the test wants them, and reads what arrives.

import assert from 'node:assert/strict';
import { eventually } from './eventually.js';
import { numberOf, pageScript, Person } from './person.js';
import { tonesOf } from './tones.js';

/** Another picture of the same person has a number so much greater. */
const OTHER_NUMBERS = 64;

export class Caller extends Person {
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

  /** Sends pictures with a number of this person's own. Gives the time at which the service had them. */
  async show(source = 'camera', options = {}) {
    this.pictures[source] = numberOf(this.index, source);
    return this.tell('showPicture', { source, number: this.pictures[source], ...options });
  }

  /** Sends pictures with another number in the place of those that are sent. */
  async showAnother(source = 'camera') {
    this.pictures[source] += OTHER_NUMBERS;
    await this.tell('replacePicture', { source, number: this.pictures[source] });
  }

  /** Plays tones of this person's own. */
  async play(source = 'mic') {
    this.sounds[source] = tonesOf(this.index, source);
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
}
