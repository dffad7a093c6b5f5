// A test with a service and people: opens both, and when it fails tells what each of them saw.

import { after, test } from 'node:test';
import { closeBrowsers, Stage } from './stage.js';

/** So much of the service's log is shown; what led to a failure stands at its end. */
const LOG_LINES = 40;

after(closeBrowsers);

/** Runs `play(stage)` with a service of its own as the test `name`. */
export function scenario(name, { shards = 1 }, play) {
  test(`${name} (${shards} ${shards === 1 ? 'shard' : 'shards'})`, async (context) => {
    const stage = await Stage.open({ shards });
    stage.diagnostic = (text) => context.diagnostic(text);
    try {
      await play(stage);
    } catch (error) {
      await tellFailure(context, stage, name);
      throw error;
    } finally {
      await stage.close();
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
