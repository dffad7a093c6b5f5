import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fetchDevelopmentToken, ID_LENGTH_MAX, readLink, readUserId, toId, TokenMissing } from '../src/entrance';

const EMPTY = { room: '', name: '', token: null, isBroken: false, codec: null };

function tokenOf(claims: object): string {
  return `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.c2ln`;
}

test('what people type becomes an id that the service accepts', () => {
  assert.equal(toId('  Ayşe Işık '), 'Ayse-Isik');
  assert.equal(toId('Ayşe Işık 🙂'), 'Ayse-Isik');
  assert.equal(toId('İğdır'), 'Igdir');
  assert.equal(toId('Jürgen Groß'), 'Jurgen-Gross');
  for (const id of ['team.a_1-b', 'x-', '-x', '-']) assert.equal(toId(id), id);
  assert.equal(toId('a:b/c<d>'), 'abcd');
  assert.equal(toId('🎉'), '');
});

test('an id is never longer than the service accepts', () => {
  assert.equal(toId('x'.repeat(200)).length, ID_LENGTH_MAX);
  assert.equal(toId(`${'x'.repeat(ID_LENGTH_MAX - 1)} yz`), 'x'.repeat(ID_LENGTH_MAX - 1));
});

test('a link says the room, the name and the token', () => {
  assert.deepEqual(readLink('#room=lobby&name=al'), { ...EMPTY, room: 'lobby', name: 'al' });
  assert.deepEqual(readLink(''), EMPTY);
});

test('a link may name the codec of pictures, however it is written', () => {
  assert.equal(readLink('#room=r&codec=AV1').codec, 'av1');
  assert.equal(readLink('#room=r&codec=').codec, null);
});

test('the name of a token wins over that of the link', () => {
  const token = tokenOf({ userId: 'alice' });
  assert.deepEqual(readLink(`#name=bob&room=r&token=${token}`), { ...EMPTY, room: 'r', name: 'alice', token });
});

test('a token that names nobody is none: the link is broken, whatever name it says', () => {
  for (const token of ['abc.def.ghi', 'x', tokenOf({})]) {
    assert.equal(readLink(`#room=r&name=al&token=${token}`).isBroken, true);
  }
  assert.equal(readLink('#room=r&token=').isBroken, false);
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
    await assert.rejects(fetchDevelopmentToken('alice', 'localhost'), TokenMissing);
  }
  answer(502);
  await assert.rejects(fetchDevelopmentToken('alice', 'localhost'), (error) => !(error instanceof TokenMissing));
});

test('a development token is asked for on loopback alone', async (context) => {
  const asked = context.mock.method(globalThis, 'fetch', async () => new Response('{"token": "t"}'));
  for (const host of ['voice.example.org', 'localhost.example.org', '10.0.0.1', '127.0.0.1.example.org']) {
    await assert.rejects(fetchDevelopmentToken('alice', host), TokenMissing);
  }
  assert.equal(asked.mock.callCount(), 0);
  for (const host of ['localhost', '127.0.0.1', '127.8.9.1', '[::1]']) {
    assert.equal(await fetchDevelopmentToken('alice', host), 't');
  }
});
