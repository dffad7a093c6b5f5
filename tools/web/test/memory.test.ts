import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readLink } from '../src/entrance';
import { addressOf, recall, remember } from '../src/memory';

/** A tab's storage as far as it is used here. */
function tab(): () => Storage {
  const items = new Map<string, string>();
  const storage = {
    getItem: (key: string) => items.get(key) ?? null,
    setItem: (key: string, value: string) => void items.set(key, value),
  };
  return () => storage as unknown as Storage;
}

test('the address of a call carries neither name nor token', () => {
  assert.equal(addressOf('#room=x&token=a.b.c&name=al&codec=av1', 'lobby'), '#room=lobby&codec=av1');
  assert.equal(addressOf('', 'lobby'), '#room=lobby');
});

test('a tab that comes back to its room knows who was there', () => {
  const storage = tab();
  assert.equal(remember({ room: 'lobby', name: 'al', token: 'a.b.c' }, storage), true);
  const { name, token } = recall(readLink('#room=lobby'), storage);
  assert.deepEqual([name, token], ['al', 'a.b.c']);
  for (const hash of ['#room=other', '', '#room=lobby&name=bob', '#room=lobby&token=d.e.f']) {
    assert.deepEqual(recall(readLink(hash), storage), readLink(hash), hash);
  }
});

test('a browser that keeps nothing, or something else, is none the worse', () => {
  const refuse = () => {
    throw new DOMException('', 'SecurityError');
  };
  const joined = { room: 'lobby', name: 'al', token: null };
  assert.equal(remember(joined, refuse), false);
  assert.deepEqual(recall(readLink('#room=lobby'), refuse), readLink('#room=lobby'));
  const storage = tab();
  for (const text of ['', '{', 'null', '[]']) {
    storage().setItem('joined', text);
    assert.deepEqual(recall(readLink('#room=lobby'), storage), readLink('#room=lobby'), text);
  }
});
