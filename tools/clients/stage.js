// A service and people with browsers: what a test has at hand.

import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { launchChromium, launchFirefox } from './browsers.js';
import { Caller } from './caller.js';
import { Participant } from './participant.js';
import { Service } from './service.js';
import { SoundCard } from './sound.js';

/** Pictures of calls, for people to look at. */
export const SCREENSHOTS = fileURLToPath(new URL('screenshots/', import.meta.url));

/** One browser of each kind serves all stages of a program. */
const browsers = new Map();
let soundCard = null;

/** Ends them; to be called last of all. */
export async function closeBrowsers() {
  for (const browser of browsers.values()) await (await browser).close();
  await (await soundCard)?.stop();
}

function browser(kind) {
  if (!browsers.has(kind)) browsers.set(kind, launchWithSound(kind === 'firefox' ? launchFirefox : launchChromium));
  return browsers.get(kind);
}

async function launchWithSound(launch) {
  soundCard ??= SoundCard.start();
  return launch((await soundCard).environment);
}

/** What a scenario has at hand. */
export class Stage {
  people = [];
  /** Says something in the report of the test. */
  diagnostic = console.log;

  /** Starts a service, with the options that it has. */
  static async open(options) {
    const stage = new Stage();
    stage.service = await Service.start(options);
    return stage;
  }

  /** Everyone goes, and the service ends. */
  async close() {
    for (const person of this.people) await person.close();
    await this.service.stop();
  }

  /** Someone who has not joined yet, with tones of their own. */
  async person(userId, kind = 'chromium', options = {}) {
    const person = await Participant.open(await browser(kind), { userId, index: this.people.length, ...options });
    this.people.push(person);
    return person;
  }

  /** Someone whose browser refuses the microphone with a `DOMException` of this name. */
  async personWithoutMicrophone(userId, exception) {
    const person = await Participant.open(await browser('chromium'), { userId });
    this.people.push(person);
    await person.page.evaluateOnNewDocument((name) => {
      navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', name));
    }, exception);
    return person;
  }

  /** Someone who is in a room. */
  async join(userId, room, kind) {
    const person = await this.person(userId, kind);
    await person.join(this.link(userId, room));
    return person;
  }

  /** Someone without the web client who has not joined yet, with pictures and tones of their own. */
  async caller(userId, kind = 'chromium') {
    const person = await Caller.open(await browser(kind), { userId, index: this.people.length });
    this.people.push(person);
    await person.load(this.service);
    return person;
  }

  /** The same in a room. */
  async call(userId, room, kind) {
    const person = await this.caller(userId, kind);
    await person.join(room);
    return person;
  }

  link(userId, room, claims) {
    return this.service.link(room, this.service.token(userId, claims));
  }

  /** Saves a picture of a page and gives its path. */
  async picture(person, name) {
    await mkdir(SCREENSHOTS, { recursive: true });
    const file = path.join(SCREENSHOTS, `${name.replace(/[^\w-]+/g, '-')}.png`);
    await person.page.screenshot({ path: file });
    return file;
  }
}
