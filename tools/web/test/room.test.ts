import assert from 'node:assert/strict';
import { test } from 'node:test';
import { INITIAL_STATE } from '../src/protocol';
import { isVoiceless, Room, shownOf, type Stream } from '../src/room';

function roomWithBob(): { room: Room; ended: string[] } {
  const room = new Room();
  const ended: string[] = [];
  room.onStreamEnd = ({ producerId }: Stream) => ended.push(producerId);
  room.enter('alice', [{ userId: 'bob', state: { ...INITIAL_STATE, muted: true }, joinedAt: 2 }]);
  return { room, ended };
}

const VOICE = { type: 'newProducer', producerId: 'p1', userId: 'bob', kind: 'audio', source: 'mic', paused: false } as const;

test('the user comes first, the others in the order of their joining', () => {
  const room = new Room();
  const entry = (userId: string, joinedAt: number) => ({ userId, joinedAt, state: { ...INITIAL_STATE } });
  room.enter('alice', [entry('dan', 9), entry('bob', 3)]);
  assert.deepEqual([...room.participants.keys()], ['alice', 'bob', 'dan']);
  assert.equal(room.find('alice')?.isSelf, true);
  assert.equal(room.find('bob')?.isSelf, false);
});

test('those who are there come with their state', () => {
  assert.equal(roomWithBob().room.find('bob')?.state.muted, true);
});

test('a stream is there from its announcement until it is closed', () => {
  const { room, ended } = roomWithBob();
  room.handlePush(VOICE);
  assert.deepEqual(room.streams().map(({ producerId }) => producerId), ['p1']);
  room.handlePush({ type: 'producerPaused', producerId: 'p1', userId: 'bob' });
  assert.equal(room.streams()[0]?.paused, true);
  room.handlePush({ type: 'producerClosed', producerId: 'p1', userId: 'bob' });
  assert.deepEqual(room.streams(), []);
  assert.deepEqual(ended, ['p1']);
});

test('a stream ends once, though its producer and its consumer are both told to be closed', () => {
  const { room, ended } = roomWithBob();
  room.handlePush(VOICE);
  room.handlePush({ type: 'consumerClosed', consumerId: 'c1', producerId: 'p1' });
  room.handlePush({ type: 'producerClosed', producerId: 'p1', userId: 'bob' });
  assert.deepEqual(ended, ['p1']);
});

test('who leaves takes all streams along', () => {
  const { room, ended } = roomWithBob();
  room.handlePush(VOICE);
  room.handlePush({ ...VOICE, producerId: 'p2', kind: 'video', source: 'camera' });
  room.handlePush({ type: 'userLeft', userId: 'bob' });
  assert.deepEqual(ended.sort(), ['p1', 'p2']);
  assert.equal(room.find('bob'), undefined);
});

test('a stream that came again under the same id is another stream', () => {
  const { room } = roomWithBob();
  room.handlePush(VOICE);
  const [first] = room.streams();
  assert.ok(first && room.has(first));
  room.handlePush({ type: 'producerClosed', producerId: 'p1', userId: 'bob' });
  room.handlePush(VOICE);
  assert.equal(room.has(first), false);
});

test('a change of state changes what it names and nothing else', () => {
  const { room } = roomWithBob();
  room.setState('bob', { deafened: true });
  assert.deepEqual(room.find('bob')?.state, { ...INITIAL_STATE, muted: true, deafened: true });
  room.setState('nobody', { muted: true });
  assert.equal(room.participants.size, 2);
});

test('who sends no microphone has no voice; of the user what is open counts', () => {
  const { room } = roomWithBob();
  const [alice, bob] = [room.find('alice'), room.find('bob')];
  assert.ok(alice && bob);
  assert.deepEqual([isVoiceless(alice), isVoiceless(bob)], [true, true]);
  alice.own.set('mic', { kind: 'audio' } as MediaStreamTrack);
  room.handlePush({ ...VOICE, producerId: 'p2', source: 'screenAudio' });
  assert.deepEqual([isVoiceless(alice), isVoiceless(bob)], [false, true]);
  room.handlePush(VOICE);
  assert.equal(isVoiceless(bob), false);
});

test('when the connection is gone everyone is still shown, and nothing is received', () => {
  const { room, ended } = roomWithBob();
  room.handlePush(VOICE);
  room.endStreams();
  assert.deepEqual([...room.participants.keys()], ['alice', 'bob']);
  assert.deepEqual(room.streams(), []);
  assert.deepEqual(ended, ['p1']);
});

/** Bob with a camera that has been announced, in the state that comes with it. */
function roomWithCamera(): Room {
  const { room } = roomWithBob();
  room.handlePush({ ...VOICE, producerId: 'p2', kind: 'video', source: 'camera' });
  room.setState('bob', { videoEnabled: true });
  return room;
}

function shownOfBob(room: Room, source: 'camera' | 'screen' = 'camera') {
  const bob = room.find('bob');
  assert.ok(bob);
  return shownOf(bob, source);
}

const TRACK = { kind: 'video' } as MediaStreamTrack;

test('a camera is waited for from its announcement on, and seen once it is received', () => {
  const room = roomWithCamera();
  assert.deepEqual(shownOfBob(room), { track: null, isRefused: false });
  for (const stream of room.streams()) if (stream.source === 'camera') stream.track = TRACK;
  assert.equal(shownOfBob(room)?.track, TRACK);
  assert.equal(shownOfBob(room, 'screen'), null);
});

test('a camera that is off, paused or ended is not to be seen', () => {
  const room = roomWithCamera();
  room.setState('bob', { videoEnabled: false });
  assert.equal(shownOfBob(room), null);
  room.setState('bob', { videoEnabled: true });
  assert.notEqual(shownOfBob(room), null);
  room.handlePush({ type: 'producerPaused', producerId: 'p2', userId: 'bob' });
  assert.equal(shownOfBob(room), null);
  room.handlePush({ type: 'producerResumed', producerId: 'p2', userId: 'bob' });
  assert.notEqual(shownOfBob(room), null);
  room.handlePush({ type: 'producerClosed', producerId: 'p2', userId: 'bob' });
  assert.equal(shownOfBob(room), null);
});

test('what a user sends itself is seen as it is, whatever the service knows of it', () => {
  const room = roomWithCamera();
  const alice = room.find('alice');
  assert.ok(alice);
  assert.equal(shownOf(alice, 'screen'), null);
  alice.own.set('screen', TRACK);
  assert.equal(shownOf(alice, 'screen')?.track, TRACK);
});
