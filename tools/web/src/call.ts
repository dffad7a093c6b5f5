// A call: one user in one room, from joining to the end, over as many connections as it takes. It holds what the page
// shows, and knows nothing of the page.

import { CallFailed, isPassing, judgeFault, lastingFault, type CallFault } from './fault';
import { ConnectionEnded, RequestRefused, Signaling } from './signaling';
import type { Push, Source } from './protocol';
import { Media } from './media';
import { Playback } from './playback';
import { Publisher } from './publisher';
import { Room, type Stream } from './room';
import { SpeechMeter } from './speech';

/** How a call is doing. */
export type Phase = 'connecting' | 'connected' | 'reconnecting' | 'ended';

export interface CallOptions {
  userId: string;
  channelId: string;
  /** Gives a token that is good now; asked again for each connection. */
  token: () => Promise<string>;
  /** The codec that this user's pictures are to have; null leaves it to the service. */
  codec: string | null;
}

const OWN_SOURCES: Source[] = ['mic', 'camera', 'screen'];

/** The pauses before one try to come back and the next; after the last, a minute in all, the service counts as gone. */
const RETRY_PAUSES_MS = [500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000];
/** An interrupted path may heal by itself, since ICE checks go on. After this it is made anew. */
const INTERRUPTED_MAX_MS = 8_000;
/** A refused change of state is told again after this: the service's rate limit lets 50 requests a second through. */
const RETELL_PAUSE_MS = 1_000;

export class Call {
  /** Called whenever anything that can be read here may have changed. */
  onChange: () => void = () => {};
  /** Called once, when the call has ended otherwise than by `leave`. */
  onEnd: (fault: CallFault) => void = () => {};

  readonly channelId: string;
  readonly room = new Room();
  /** What this user sends. */
  readonly publisher: Publisher;

  readonly #token: () => Promise<string>;
  readonly #playback = new Playback();
  readonly #speech = new SpeechMeter();
  #userId: string;
  #phase: Phase = 'connecting';
  #muted = false;
  #deafened = false;
  #cameraTold: 'yes' | 'resting' | 'no' = 'no';
  #signaling: Signaling | null = null;
  #media: Media | null = null;
  #interruptedTimer: ReturnType<typeof setTimeout> | undefined;

  constructor({ userId, channelId, token, codec }: CallOptions) {
    this.#userId = userId;
    this.channelId = channelId;
    this.#token = token;
    this.publisher = new Publisher(codec);
    this.publisher.onChange = () => this.#onPublisherChange();
    this.#playback.onChange = () => this.onChange();
    this.#speech.onChange = (speaker, speaking) => {
      const participant = this.room.find(speaker);
      if (participant) participant.speaking = speaking;
      this.onChange();
    };
    this.room.onStreamEnd = ({ producerId, userId: sender, source }) => {
      this.#media?.drop(producerId);
      this.#playback.stop(producerId);
      if (source === 'mic') this.#speech.forget(sender);
    };
  }

  get muted(): boolean {
    return this.#muted;
  }

  get deafened(): boolean {
    return this.#deafened;
  }

  /** Whether the browser holds sound back until the user clicks. */
  get isPlaybackBlocked(): boolean {
    return this.#playback.isBlocked;
  }

  /** How the connection is as a whole: the room may be joined while the way of the media is not there yet, or cut. */
  get connection(): Phase {
    if (this.#phase !== 'connected') return this.#phase;
    if (this.#media?.state === 'interrupted') return 'reconnecting';
    return this.#media?.state === 'connecting' ? 'connecting' : 'connected';
  }

  /** Joins the room. Rejects with `CallFailed`; the call has ended then. */
  async join(): Promise<void> {
    try {
      await this.#connect();
    } catch (error) {
      const fault = await judgeFault(error, this.#token);
      this.#finish();
      throw new CallFailed(fault);
    }
    // The room comes first: others can be heard while the browser still asks for the microphone.
    void this.publisher.start('mic');
  }

  /** Leaves the room for good. */
  leave(): void {
    this.#finish();
  }

  async setMuted(muted: boolean): Promise<void> {
    this.#muted = muted;
    this.publisher.setMuted(muted);
    await this.#tellState();
  }

  async setDeafened(deafened: boolean): Promise<void> {
    this.#deafened = deafened;
    this.#playback.setDeafened(deafened);
    await this.#tellState();
  }

  /** Lets the browser play what it held back; to be called from a click. */
  async unblockPlayback(): Promise<void> {
    this.#speech.resume();
    await this.#playback.unblock();
  }

  /** One connection, from the socket to both transports. */
  async #connect(): Promise<void> {
    const url = new URL('/signaling', location.href);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    const token = await this.#token();
    if (this.#phase === 'ended') return;
    const signaling = new Signaling(url.href, token);
    this.#signaling = signaling;
    const { userId, rtpCapabilities } = await signaling.greeted;
    this.#userId = userId;

    const media = await Media.load(signaling, rtpCapabilities).catch(() => {
      throw new CallFailed('browser');
    });
    this.#media = media;
    media.onStateChange = () => this.#onMediaState(media);
    signaling.onEnd = (end) => void this.#reconnect(end);
    signaling.onPush = (push) => this.#onPush(push);

    const { channelId } = this;
    const joined = await signaling.request('join', { channelId, rtpCapabilities: media.rtpCapabilities });
    this.room.enter(userId, joined.participants);
    this.#showOwn();
    if (this.#muted || this.#deafened) await this.#tellState();
    await media.open();
    this.#setPhase('connected');
    this.#receiveAll();
    this.publisher.attach(media, joined.settings);
  }

  #onPush(push: Push): void {
    this.room.handlePush(push);
    if (push.type === 'newProducer') this.#receiveAll();
    // Streams can't be moved to another transport: everything is made anew.
    if (push.type === 'transportClosed' && this.#media?.has(push.transportId)) void this.#reconnect(null);
    this.onChange();
  }

  /** Asks for each stream that is not received yet. */
  #receiveAll(): void {
    if (this.#phase !== 'connected') return;
    for (const stream of this.room.streams()) {
      if (stream.received === 'no') void this.#receive(stream);
    }
  }

  async #receive(stream: Stream): Promise<void> {
    const media = this.#media;
    if (!media) return;
    const { producerId, userId, source } = stream;
    stream.received = 'asked';
    try {
      // What belongs to a screen is in step with the screen, not with whoever shares it.
      const isOfScreen = source === 'screen' || source === 'screenAudio';
      const reception = await media.receive(producerId, isOfScreen ? `${userId}-screen` : userId);
      // The stream, or the whole connection, may have ended while it was asked for.
      if (media !== this.#media || !this.room.has(stream)) return media.drop(producerId);
      this.#show(stream, reception.track);
      this.onChange();
      // It flows only now, so that its first picture finds a place to be seen.
      await media.resume(reception);
      stream.received = 'yes';
    } catch (error) {
      this.#onReceiveFailure(stream, error);
    }
    this.onChange();
  }

  #onReceiveFailure(stream: Stream, error: unknown): void {
    // The stream ended first, or the connection did: the room is told of both.
    if (error instanceof ConnectionEnded || !this.room.has(stream)) return;
    const code = error instanceof RequestRefused ? error.code : null;
    if (code === null) console.error(error);
    if (code === 'rate_limited') {
      stream.received = 'no';
      setTimeout(() => this.#receiveAll(), RETELL_PAUSE_MS);
    } else {
      stream.received = 'refused';
    }
  }

  /** Lets a received stream be heard, or seen by whoever looks at the room. */
  #show(stream: Stream, track: MediaStreamTrack): void {
    stream.track = track;
    if (track.kind === 'audio') this.#playback.play(stream, track);
    if (stream.source === 'mic') this.#speech.watch(stream.userId, track);
  }

  #onPublisherChange(): void {
    if (this.#phase !== 'connected') return this.#showOwn();
    const microphone = this.publisher.trackOf('mic');
    if (microphone) this.#speech.watch(this.#userId, microphone);
    else this.#speech.forget(this.#userId);
    // A camera's stream says by itself that it begins and ends; that it rests and goes on is to be told.
    const sending = this.#media?.sendingOf('camera') ?? 'no';
    const isToBeTold = sending !== 'no' && this.#cameraTold !== 'no' && this.#cameraTold !== sending;
    this.#cameraTold = sending;
    if (isToBeTold) void this.#tellState();
    this.#showOwn();
  }

  /** What this user is shown of itself is what is open. */
  #showOwn(): void {
    const self = this.room.find(this.#userId);
    for (const source of OWN_SOURCES) {
      const track = this.publisher.trackOf(source);
      if (track) self?.own.set(source, track);
      else self?.own.delete(source);
    }
    this.onChange();
  }

  #onMediaState(media: Media): void {
    if (media !== this.#media) return;
    clearTimeout(this.#interruptedTimer);
    if (media.state === 'failed') void this.#reconnect(null);
    if (media.state === 'interrupted') {
      this.#interruptedTimer = setTimeout(() => void this.#reconnect(null), INTERRUPTED_MAX_MS);
    }
    this.onChange();
  }

  /** Comes back after a connection ended (`null`: after it was given up here), or ends the call. */
  async #reconnect(end: ConnectionEnded | null): Promise<void> {
    if (this.#phase !== 'connected') return;
    this.#disconnect();
    this.#setPhase('reconnecting');
    let fault = end && lastingFault(end);
    let retryAfterMs = end?.retryAfterMs;
    for (const pauseMs of RETRY_PAUSES_MS) {
      if (fault && !isPassing(fault)) break;
      await jitteredPause(retryAfterMs ?? pauseMs);
      if (this.#isEnded()) return;
      try {
        await this.#connect();
        return;
      } catch (error) {
        this.#disconnect();
        retryAfterMs = error instanceof ConnectionEnded ? error.retryAfterMs : undefined;
        fault = await judgeFault(error, this.#token);
      }
    }
    if (this.#isEnded()) return;
    this.#finish();
    this.onEnd(fault ?? 'serviceGone');
  }

  /** A call may be left while something is awaited. */
  #isEnded(): boolean {
    return this.#phase === 'ended';
  }

  #setPhase(phase: Phase): void {
    this.#phase = phase;
    this.onChange();
  }

  /** Shows this user's own state at once, and tells the service. */
  async #tellState(): Promise<void> {
    const camera = this.#media?.sendingOf('camera') ?? 'no';
    const state = {
      muted: this.#muted,
      deafened: this.#deafened,
      ...(camera === 'no' ? {} : { videoEnabled: camera === 'yes' }),
    };
    this.room.setState(this.#userId, state);
    this.onChange();
    await this.#signaling?.request('updateState', state).catch((error: unknown) => {
      // A connection that ended is made anew and told the state then; after too many changes it is told a little later.
      if (!(error instanceof ConnectionEnded)) setTimeout(() => void this.#tellState(), RETELL_PAUSE_MS);
    });
  }

  /** Drops a connection and all that came with it; what this user has opened stays open. */
  #disconnect(): void {
    this.publisher.detach();
    this.#cameraTold = 'no';
    clearTimeout(this.#interruptedTimer);
    this.room.endStreams();
    this.#speech.forget(this.#userId);
    this.#playback.stopAll();
    this.#media?.close();
    this.#media = null;
    this.#signaling?.close();
    this.#signaling = null;
  }

  #finish(): void {
    this.#disconnect();
    this.room.clear();
    this.#speech.close();
    this.publisher.close();
    this.#setPhase('ended');
  }
}

/** A quarter more or less, so that all clients of a restarted service do not come back at once. */
function jitteredPause(durationMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, durationMs * (0.75 + Math.random() / 2)));
}
