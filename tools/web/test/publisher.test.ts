import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Media } from '../src/media';
import type { Source } from '../src/protocol';
import { Publisher } from '../src/publisher';
import { ConnectionEnded, RequestRefused } from '../src/signaling';

/** A track as far as the publisher knows one. */
class Track extends EventTarget {
  readyState = 'live';
  contentHint = '';
  constructor(readonly kind: string) {
    super();
  }
  stop(): void {
    this.readyState = 'ended';
  }
  /** Ends from outside, as an unplugged camera does. */
  end(): void {
    this.stop();
    this.dispatchEvent(new Event('ended'));
  }
}

/** A connection that writes down what it is asked to change, and changes it once `gate` lets it. */
class Connection {
  log: string[] = [];
  sent = new Map<Source, Track | null>();
  gate: Promise<void> = Promise.resolve();
  refusal: Error | null = null;

  async send(source: Source, track: Track): Promise<void> {
    if (this.sent.get(source) === track) return;
    this.log.push(`send ${source}`);
    await this.gate;
    if (this.refusal) throw this.refusal;
    this.sent.set(source, track);
  }
  async rest(source: Source): Promise<void> {
    if (!this.sent.get(source)) return;
    this.log.push(`rest ${source}`);
    this.sent.set(source, null);
  }
  stopSending(source: Source): void {
    if (this.sent.delete(source)) this.log.push(`stop ${source}`);
  }
  setMicrophoneMuted(): void {}
}

function attach(publisher: Publisher): Connection {
  const connection = new Connection();
  publisher.attach(connection as unknown as Media, {});
  return connection;
}

/** Lets a browser give these tracks, or refuse with an exception of this name. */
function browserGives(given: Track[] | string): void {
  const open = async () => {
    if (typeof given === 'string') throw new DOMException('', given);
    const ofKind = (kind: string) => given.filter((track) => track.kind === kind);
    return { getTracks: () => given, getAudioTracks: () => ofKind('audio'), getVideoTracks: () => ofKind('video') };
  };
  const mediaDevices = { getUserMedia: open, getDisplayMedia: open };
  Object.defineProperty(globalThis, 'navigator', { configurable: true, value: { mediaDevices } });
}

/** Waits until everything that was begun has been done. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

test('a camera is sent once it is open, rests when it is closed, and goes on under the same stream', async () => {
  const publisher = new Publisher(null);
  const connection = attach(publisher);
  const first = new Track('video');
  browserGives([first]);
  await publisher.start('camera');
  assert.equal(connection.sent.get('camera'), first);
  publisher.stop('camera');
  await settled();
  assert.equal(first.readyState, 'ended');
  const second = new Track('video');
  browserGives([second]);
  await publisher.start('camera');
  assert.equal(connection.sent.get('camera'), second);
  assert.deepEqual(connection.log, ['send camera', 'rest camera', 'send camera']);
});

test('a camera that is closed while it is being announced is not sent in the end', async () => {
  const publisher = new Publisher(null);
  const connection = attach(publisher);
  let open = () => {};
  connection.gate = new Promise((resolve) => (open = resolve));
  browserGives([new Track('video')]);
  const started = publisher.start('camera');
  await settled();
  publisher.stop('camera');
  open();
  await started;
  await settled();
  assert.deepEqual(connection.log, ['send camera', 'rest camera']);
  assert.equal(publisher.activityOf('camera'), 'off');
});

test('a screen comes and goes with its sound', async () => {
  const publisher = new Publisher(null);
  const connection = attach(publisher);
  const [picture, sound] = [new Track('video'), new Track('audio')];
  browserGives([sound, picture]);
  await publisher.start('screen');
  assert.deepEqual([...connection.sent], [['screen', picture], ['screenAudio', sound]]);
  publisher.stop('screen');
  await settled();
  assert.equal(connection.sent.size, 0);
  assert.deepEqual([picture.readyState, sound.readyState], ['ended', 'ended']);
});

test('a share that is ended outside the page ends without a fault, and takes its sound along', async () => {
  const publisher = new Publisher(null);
  const connection = attach(publisher);
  const [picture, sound] = [new Track('video'), new Track('audio')];
  browserGives([picture, sound]);
  await publisher.start('screen');
  picture.end();
  await settled();
  assert.equal(connection.sent.size, 0);
  assert.equal(sound.readyState, 'ended');
  assert.deepEqual([publisher.activityOf('screen'), publisher.faultOf('screen')], ['off', null]);
});

test('a screen whose sound ends goes on being shown', async () => {
  const publisher = new Publisher(null);
  const connection = attach(publisher);
  const [picture, sound] = [new Track('video'), new Track('audio')];
  browserGives([picture, sound]);
  await publisher.start('screen');
  sound.end();
  await settled();
  assert.deepEqual([...connection.sent.keys()], ['screen']);
});

test('an unplugged camera is told as missing', async () => {
  const publisher = new Publisher(null);
  attach(publisher);
  const track = new Track('video');
  browserGives([track]);
  await publisher.start('camera');
  track.end();
  assert.equal(publisher.faultOf('camera'), 'missing');
  publisher.forgive('camera');
  assert.equal(publisher.faultOf('camera'), null);
});

test('why the browser gives nothing is told, and forgotten with the next try', async () => {
  const publisher = new Publisher(null);
  attach(publisher);
  for (const [name, fault] of [
    ['NotAllowedError', 'denied'],
    ['NotFoundError', 'missing'],
    ['NotReadableError', 'busy'],
    ['TypeError', 'failed'],
  ] as const) {
    browserGives(name);
    await publisher.start('camera');
    assert.equal(publisher.faultOf('camera'), fault);
  }
  browserGives([new Track('video')]);
  await publisher.start('camera');
  assert.deepEqual([publisher.activityOf('camera'), publisher.faultOf('camera')], ['on', null]);
});

test('what the service forbids is closed again; without the right to a screen its sound is not tried', async () => {
  const publisher = new Publisher(null);
  const connection = attach(publisher);
  connection.refusal = new RequestRefused('produce', 'forbidden', '');
  const tracks = [new Track('video'), new Track('audio')];
  browserGives(tracks);
  await publisher.start('screen');
  assert.equal(publisher.faultOf('screen'), 'forbidden');
  assert.deepEqual(tracks.map(({ readyState }) => readyState), ['ended', 'ended']);
  assert.deepEqual(connection.log, ['send screen']);
});

test('what was forbidden once is not opened again until the next join, and pictures are forbidden together', async () => {
  const publisher = new Publisher(null);
  const connection = attach(publisher);
  connection.refusal = new RequestRefused('produce', 'forbidden', '');
  browserGives([new Track('video')]);
  await publisher.start('camera');
  publisher.forgive('camera');
  browserGives('UnexpectedError');
  for (const source of ['camera', 'screen'] as const) {
    assert.equal(publisher.isForbidden(source), true);
    await publisher.start(source);
    assert.equal(publisher.faultOf(source), 'forbidden');
  }
  assert.equal(publisher.isForbidden('mic'), false);
  assert.deepEqual(connection.log, ['send camera']);

  const next = attach(publisher);
  const screen = new Track('video');
  browserGives([screen]);
  await publisher.start('screen');
  assert.equal(next.sent.get('screen'), screen);
});

test('what is open outlives its connection and is sent over the next one', async () => {
  const publisher = new Publisher(null);
  const lost = attach(publisher);
  lost.refusal = new ConnectionEnded(1006, '', undefined, true);
  const camera = new Track('video');
  browserGives([camera]);
  await publisher.start('camera');
  assert.deepEqual([publisher.activityOf('camera'), publisher.faultOf('camera')], ['on', null]);
  publisher.detach();
  const next = attach(publisher);
  await settled();
  assert.equal(next.sent.get('camera'), camera);
});

test('what opens only after the call has ended is closed at once', async () => {
  const publisher = new Publisher(null);
  const microphone = new Track('audio');
  browserGives([microphone]);
  const started = publisher.start('mic');
  publisher.close();
  await started;
  assert.equal(microphone.readyState, 'ended');
});
