import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fetchDevelopmentToken, ID_LENGTH_MAX, readLink, readUserId, toId, TokenMissing } from '../src/entrance';

function tokenOf(claims: object): string {
  return `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.c2ln`;
}

test('what people type becomes an id that the service accepts', () => {
  assert.equal(toId('  Ayşe Işık '), 'Ayse-Isik');
  assert.equal(toId('İğdır'), 'Igdir');
  assert.equal(toId('Jürgen Groß'), 'Jurgen-Gross');
  assert.equal(toId('team.a_1-b'), 'team.a_1-b');
  assert.equal(toId('a:b/c<d>'), 'abcd');
  assert.equal(toId('🎉'), '');
});

test('an id is never longer than the service accepts', () => {
  assert.equal(toId('x'.repeat(200)).length, ID_LENGTH_MAX);
});

test('a link says the room, the name and the token', () => {
  assert.deepEqual(readLink('#room=lobby&name=al'), { room: 'lobby', name: 'al', token: null, codec: null });
  assert.deepEqual(readLink(''), { room: '', name: '', token: null, codec: null });
});

test('a link may name the codec of pictures, however it is written', () => {
  assert.equal(readLink('#room=r&codec=AV1').codec, 'av1');
  assert.equal(readLink('#room=r&codec=').codec, null);
});

test('the name of a token wins over that of the link', () => {
  const token = tokenOf({ userId: 'alice' });
  assert.deepEqual(readLink(`#name=bob&room=r&token=${token}`), { room: 'r', name: 'alice', token, codec: null });
});

test('a token names its user by userId, else by sub, as a string or a number', () => {
  assert.equal(readUserId(tokenOf({ userId: 'alice', sub: 'bob' })), 'alice');
  assert.equal(readUserId(tokenOf({ sub: 42 })), '42');
  assert.equal(readUserId(tokenOf({ userId: 'çiğdem' })), 'çiğdem');
});

test('what is no token names nobody', () => {
  for (const text of ['', 'a.b', 'a.%%%.c', tokenOf({}), tokenOf({ userId: {} })]) assert.equal(readUserId(text), null);
});

test('a service without development tokens is told from one that is gone', async (context) => {
  const answer = (status: number) => context.mock.method(globalThis, 'fetch', async () => new Response('{}', { status }));
  for (const status of [404, 405]) {
    answer(status);
    await assert.rejects(fetchDevelopmentToken('alice'), TokenMissing);
  }
  answer(502);
  await assert.rejects(fetchDevelopmentToken('alice'), (error) => !(error instanceof TokenMissing));
});
