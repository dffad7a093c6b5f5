// What those who listen to the page are told of the room: who comes and goes, and whose screen is shared. It is the
// difference between what they were told last and what is true now.

import { shownOf, type Participant } from './room';

export class Announcements {
  #people: ReadonlySet<string> = new Set();
  #screens: ReadonlySet<string> = new Set();

  /**
   * The sentences that are due; empty where there is nothing new. `isScreenSent` says whether the others get the user's
   * own screen. To be asked only while the room is known: a lost connection ends streams that go on without it.
   */
  next(participants: ReadonlyMap<string, Participant>, isScreenSent: boolean): string[] {
    const others = [...participants.values()].filter(({ isSelf }) => !isSelf);
    const people = new Set(others.map(({ userId }) => userId));
    const sharing = [...participants.values()].filter((participant) => this.#isSharing(participant, isScreenSent));
    const screens = new Set(sharing.map(({ userId }) => userId));
    const isSelf = (userId: string) => participants.get(userId)?.isSelf;
    const sentences = [
      ...added(people, this.#people).map((userId) => `${userId} is here`),
      ...added(this.#people, people).map((userId) => `${userId} has left`),
      ...added(screens, this.#screens).map((userId) => (isSelf(userId) ? 'Your screen is shared' : `${userId} shares a screen`)),
      // Whoever has left shares nothing any more, as goes without saying.
      ...added(this.#screens, screens)
        .filter((userId) => participants.has(userId))
        .map((userId) => (isSelf(userId) ? 'Your screen is no longer shared' : `${userId} has stopped sharing a screen`)),
    ];
    this.#people = people;
    this.#screens = screens;
    return sentences;
  }

  /** One's own screen is shared from when the service has taken it until it is closed, over whatever connections. */
  #isSharing(participant: Participant, isScreenSent: boolean): boolean {
    if (!shownOf(participant, 'screen')) return false;
    return !participant.isSelf || isScreenSent || this.#screens.has(participant.userId);
  }
}

/** What is in one set and not in another. */
function added(now: ReadonlySet<string>, before: ReadonlySet<string>): string[] {
  return [...now].filter((userId) => !before.has(userId));
}
