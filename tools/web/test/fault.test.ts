import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TokenMissing } from '../src/entrance';
import { CallFailed, judgeFault, lastingFault } from '../src/fault';
import { CALL_SENTENCES, CAPTURE_SENTENCES } from '../src/sentences';
import { ConnectionEnded, RequestRefused } from '../src/signaling';

function ended(code: number, reason = ''): ConnectionEnded {
  return new ConnectionEnded(code, reason, undefined, true);
}

const token = async () => 'token';

test('after a take-over, a removal or a fault of the page there is no coming back', () => {
  assert.equal(lastingFault(ended(4014, 'taken over by another session of the same user')), 'takenOver');
  assert.equal(lastingFault(ended(4014, 'kicked by a moderator')), 'removed');
  assert.equal(lastingFault(ended(1009)), 'badRequest');
  assert.equal(lastingFault(ended(4002)), 'badRequest');
});

test('after every other end the client comes back', () => {
  for (const code of [1001, 1006, 4004, 4006, 4009, 4015, 4021]) assert.equal(lastingFault(ended(code)), null);
});

test('a refused request is told by its code', async () => {
  const refusal = (code: string) => judgeFault(new RequestRefused('join', code, ''), token);
  assert.equal(await refusal('forbidden'), 'forbidden');
  assert.equal(await refusal('bad_request'), 'badRequest');
  assert.equal(await refusal('shard_unavailable'), 'unavailable');
});

test('a missing token, a known fault and a lost connection are told apart', async () => {
  assert.equal(await judgeFault(new TokenMissing(), token), 'tokenMissing');
  assert.equal(await judgeFault(new CallFailed('browser'), token), 'browser');
  assert.equal(await judgeFault(ended(1006), token), 'serviceGone');
});

test('only a service that says so has refused the token', async (context) => {
  const refused = new ConnectionEnded(1006, '', undefined, false);
  const answer = (status: number) => context.mock.method(globalThis, 'fetch', async () => new Response('', { status }));
  answer(401);
  assert.equal(await judgeFault(refused, token), 'tokenRefused');
  // It was gone, and is back; or somebody else answers in its stead.
  for (const status of [400, 426, 502]) {
    answer(status);
    assert.equal(await judgeFault(refused, token), 'serviceGone');
  }
  context.mock.method(globalThis, 'fetch', async () => Promise.reject(new TypeError('refused')));
  assert.equal(await judgeFault(refused, token), 'serviceGone');
});

test('every fault has a sentence with an end', () => {
  const sentences = [CALL_SENTENCES, ...Object.values(CAPTURE_SENTENCES)].flatMap((table) => Object.values(table));
  for (const { title, text } of sentences) {
    assert.match(title, /\.$/);
    assert.match(text, /\.$/);
  }
});
