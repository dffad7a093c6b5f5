// A test with a service and people: opens both, and when it fails tells what each of them saw.

import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launchChromium, launchFirefox } from './browsers.js';
import { Caller } from './caller.js';
import { Participant } from './participant.js';
import { Service } from './service.js';
import { SoundCard } from './sound.js';

/** Pictures of calls, for people to look at. */
export const SCREENSHOTS = fileURLToPath(new URL('screenshots/', import.meta.url));

/** So much of the service's log is shown; what led to a failure stands at its end. */
const LOG_LINES = 40;

/** One browser of each kind serves all tests of a file. */
const browsers = new Map();
let soundCard = null;
after(async () => {
  for (const browser of browsers.values()) await (await browser).close();
  await (await soundCard)?.stop();
});

function browser(kind) {
  if (!browsers.has(kind)) browsers.set(kind, launchWithSound(kind === 'firefox' ? launchFirefox : launchChromium));
  return browsers.get(kind);
}

async function launchWithSound(launch) {
  soundCard ??= SoundCard.start();
  return launch((await soundCard).environment);
}

/** What a scenario has at hand. */
class Stage {
  people = [];

  /** Says something in the report of the test. */
  diagnostic(text) {
    this.context.diagnostic(text);
  }

  /** Someone who has not joined yet, with tones of their own. */
  async person(userId, kind = 'chromium') {
    const person = await Participant.open(await browser(kind), { userId, index: this.people.length });
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

/** Runs `play(stage)` with a service of its own as the test `name`. */
export function scenario(name, { shards = 1 }, play) {
  test(`${name} (${shards} ${shards === 1 ? 'shard' : 'shards'})`, async (context) => {
    const stage = new Stage();
    stage.context = context;
    stage.service = await Service.start({ shards });
    try {
      await play(stage);
    } catch (error) {
      await tellFailure(context, stage, name);
      throw error;
    } finally {
      for (const person of stage.people) await person.close();
      await stage.service.stop();
    }
  });
}

async function tellFailure(context, stage, name) {
  for (const person of stage.people) {
    context.diagnostic(`console of ${person.userId}: ${person.console.join(' | ') || 'empty'}`);
    const seen = await person.look().catch((error) => ({ error: error.message }));
    context.diagnostic(`page of ${person.userId}: ${JSON.stringify(seen)}`);
    const heard = await person.listen().catch((error) => ({ error: error.message }));
    context.diagnostic(`heard by ${person.userId}: ${JSON.stringify(heard)}`);
    const file = await stage.picture(person, `failed-${name}-${person.userId}`).catch((error) => error.message);
    context.diagnostic(`picture: ${file}`);
  }
  context.diagnostic(`service:\n${stage.service.log.split('\n').slice(-LOG_LINES).join('\n')}`);
}
