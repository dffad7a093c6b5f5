import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Announcements } from '../src/announcements';
import { INITIAL_STATE } from '../src/protocol';
import { Room } from '../src/room';

const PICTURE = { kind: 'video', source: 'screen', paused: false } as const;
const SCREEN = { type: 'newProducer', producerId: 'p1', userId: 'bob', ...PICTURE } as const;

/** Alice with Bob, who shares a screen. */
function enter(room: Room): void {
  room.enter('alice', [{ userId: 'bob', state: { ...INITIAL_STATE, screenSharing: true }, joinedAt: 1 }]);
  room.handlePush(SCREEN);
}

test('it is told who comes and goes, and whose screen is shared, each once', () => {
  const [room, announcements] = [new Room(), new Announcements()];
  const next = () => announcements.next(room.participants, false);
  enter(room);
  assert.deepEqual(next(), ['bob is here', 'bob shares a screen']);
  assert.deepEqual(next(), []);
  room.handlePush({ type: 'producerClosed', producerId: 'p1', userId: 'bob' });
  assert.deepEqual(next(), ['bob has stopped sharing a screen']);
  room.handlePush({ ...SCREEN, producerId: 'p2' });
  assert.deepEqual(next(), ['bob shares a screen']);
  room.handlePush({ type: 'userLeft', userId: 'bob' });
  assert.deepEqual(next(), ['bob has left']);
});

test('of a connection that comes back only what has changed meanwhile is told', () => {
  const [room, announcements] = [new Room(), new Announcements()];
  const next = () => announcements.next(room.participants, false);
  enter(room);
  next();
  room.endStreams();
  enter(room);
  room.handlePush({ type: 'userJoined', userId: 'carol' });
  assert.deepEqual(next(), ['carol is here']);
});

test('of a screen that was never shared no end is told', () => {
  const [room, announcements] = [new Room(), new Announcements()];
  room.enter('alice', []);
  const own = room.find('alice')?.own;
  assert.ok(own);
  own.set('screen', { kind: 'video' } as MediaStreamTrack);
  assert.deepEqual(announcements.next(room.participants, false), []);
  own.delete('screen');
  assert.deepEqual(announcements.next(room.participants, false), []);

  own.set('screen', { kind: 'video' } as MediaStreamTrack);
  assert.deepEqual(announcements.next(room.participants, true), ['Your screen is shared']);
  // Over a new connection it is sent a moment later.
  assert.deepEqual(announcements.next(room.participants, false), []);
  own.delete('screen');
  assert.deepEqual(announcements.next(room.participants, false), ['Your screen is no longer shared']);
});
