// Who is in the room and what they send, kept up to date by the service's pushes.

import { INITIAL_STATE, type ParticipantEntry, type Push, type Source, type UserState } from './protocol';

/** A stream that someone else sends. */
export interface Stream {
  producerId: string;
  userId: string;
  source: Source;
  paused: boolean;
  /** Refused is what this browser can't decode. */
  received: 'no' | 'asked' | 'yes' | 'refused';
  /** What arrives of it; null until it is received. */
  track: MediaStreamTrack | null;
}

/** What can be seen of someone. */
export type PictureSource = 'camera' | 'screen';

/** Something to be seen; its track is null until it is received, and for good where it is refused. */
export interface Shown {
  track: MediaStreamTrack | null;
  isRefused: boolean;
}

/** Someone in the room. */
export interface Participant {
  userId: string;
  isSelf: boolean;
  state: UserState;
  speaking: boolean;
  streams: Map<string, Stream>;
  /** What the user has opened itself. What the others send is in their streams. */
  own: Map<Source, MediaStreamTrack>;
}

/** Whether someone has no voice in the room at all, be it for want of a microphone or of the right to it. */
export function isVoiceless({ isSelf, streams, own }: Participant): boolean {
  return isSelf ? !own.has('mic') : ![...streams.values()].some(({ source }) => source === 'mic');
}

/** What is to be seen of someone; null where the picture is off, resting or not sent at all. */
export function shownOf({ isSelf, state, streams, own }: Participant, source: PictureSource): Shown | null {
  if (isSelf) {
    const track = own.get(source);
    return track ? { track, isRefused: false } : null;
  }
  if (!state[source === 'camera' ? 'videoEnabled' : 'screenSharing']) return null;
  const stream = [...streams.values()].find((candidate) => candidate.source === source);
  return stream && !stream.paused ? { track: stream.track, isRefused: stream.received === 'refused' } : null;
}

export class Room {
  /** Called for each stream that has ended; it is out of the room already. */
  onStreamEnd: (stream: Stream) => void = () => {};

  /** In the order of their coming, the user first. */
  readonly participants = new Map<string, Participant>();

  /** Fills the room with the user and with those who are there already. */
  enter(userId: string, present: ParticipantEntry[]): void {
    this.participants.clear();
    this.#add(userId, true);
    for (const entry of present.toSorted((one, other) => one.joinedAt - other.joinedAt)) {
      this.#add(entry.userId, false).state = { ...entry.state };
    }
  }

  find(userId: string): Participant | undefined {
    return this.participants.get(userId);
  }

  streams(): Stream[] {
    return [...this.participants.values()].flatMap(({ streams }) => [...streams.values()]);
  }

  has(stream: Stream): boolean {
    return this.find(stream.userId)?.streams.get(stream.producerId) === stream;
  }

  /** Everyone stays to be seen, but nothing is received any more: the connection is gone. */
  endStreams(): void {
    for (const stream of this.streams()) this.#endStream(stream.producerId);
    for (const participant of this.participants.values()) participant.speaking = false;
  }

  clear(): void {
    this.endStreams();
    this.participants.clear();
  }

  /** Takes in what a push says of the room; the others are ignored. */
  handlePush(push: Push): void {
    switch (push.type) {
      case 'userJoined':
        this.#add(push.userId, false);
        break;
      case 'userLeft':
        for (const producerId of this.find(push.userId)?.streams.keys() ?? []) this.#endStream(producerId);
        this.participants.delete(push.userId);
        break;
      case 'userStateUpdate':
        this.setState(push.userId, push);
        break;
      case 'newProducer': {
        const { producerId, userId, source, paused } = push;
        const stream: Stream = { producerId, userId, source, paused, received: 'no', track: null };
        this.find(userId)?.streams.set(producerId, stream);
        break;
      }
      case 'producerPaused':
      case 'producerResumed': {
        const stream = this.find(push.userId)?.streams.get(push.producerId);
        if (stream) stream.paused = push.type === 'producerPaused';
        break;
      }
      case 'producerClosed':
      case 'consumerClosed':
        this.#endStream(push.producerId);
        break;
    }
  }

  /** Changes what is known of a user; a key left out stays as it was. */
  setState(userId: string, change: Partial<UserState>): void {
    const participant = this.find(userId);
    if (!participant) return;
    for (const key of Object.keys(INITIAL_STATE) as (keyof UserState)[]) {
      participant.state[key] = change[key] ?? participant.state[key];
    }
  }

  #add(userId: string, isSelf: boolean): Participant {
    const state = { ...INITIAL_STATE };
    const participant: Participant = {
      userId, isSelf, state, speaking: false, streams: new Map(), own: new Map(),
    };
    this.participants.set(userId, participant);
    return participant;
  }

  #endStream(producerId: string): void {
    for (const { streams } of this.participants.values()) {
      const stream = streams.get(producerId);
      if (!stream) continue;
      streams.delete(producerId);
      this.onStreamEnd(stream);
    }
  }
}
