// Who is in the room and what they send, kept up to date by the service's pushes.

import { INITIAL_STATE, type ParticipantEntry, type Push, type UserState } from './protocol';

/** A stream that someone sends. Video comes with its own kind and is not received yet. */
export interface Stream {
  producerId: string;
  userId: string;
  kind: 'audio' | 'video';
  paused: boolean;
  received: 'no' | 'asked' | 'yes';
}

/** Someone in the room. */
export interface Participant {
  userId: string;
  isSelf: boolean;
  state: UserState;
  speaking: boolean;
  streams: Map<string, Stream>;
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
        const { producerId, userId, kind, paused } = push;
        this.find(userId)?.streams.set(producerId, { producerId, userId, kind, paused, received: 'no' });
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
    const participant = { userId, isSelf, state: { ...INITIAL_STATE }, speaking: false, streams: new Map() };
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
