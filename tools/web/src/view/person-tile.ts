// One person in the room: the camera's picture, or else initials; the name, and what they are doing.

import { isVoiceless, shownOf, type Participant } from '../room';
import { element, icon } from './element';
import { Picture } from './picture';

export class PersonTile {
  readonly root: HTMLElement;
  readonly #status = element('span', { class: 'tile-status' });
  readonly #badges = element('span', { class: 'badges', 'aria-hidden': 'true' });
  readonly #picture: Picture;

  constructor({ userId, isSelf }: Participant) {
    this.#picture = new Picture(userId, 'camera', isSelf ? 'Your camera' : `Camera of ${userId}`);
    this.#picture.onChange = () => this.#showPictureState();
    if (isSelf) this.#picture.root.classList.add('mirrored');
    const avatar = element('div', { class: 'avatar', 'aria-hidden': 'true' }, initials(userId));
    avatar.style.setProperty('--hue', String(hue(userId)));
    this.root = element(
      'li',
      { class: 'tile', 'data-user': userId },
      element('div', { class: 'tile-media' }, avatar, this.#picture.root),
      element(
        'div',
        { class: 'tile-line' },
        element('span', { class: 'tile-name', title: userId }, userId),
        ...(isSelf ? [element('span', { class: 'tag' }, 'you')] : []),
        this.#status,
        this.#badges,
      ),
    );
  }

  update(participant: Participant): void {
    this.#picture.show(shownOf(participant, 'camera'));
    this.#showPictureState();
    const { state, speaking } = participant;
    const muted = state.muted || state.serverMuted;
    const deafened = state.deafened || state.serverDeafened;
    const voiceless = !muted && isVoiceless(participant);
    const status = statusOf(participant, muted, deafened);
    const { dataset } = this.root;
    const next = { muted, deafened, voiceless, speaking: speaking && !muted, status: status.kind };
    const isSame = Object.entries(next).every(([key, value]) => dataset[key] === String(value));
    if (isSame) return;
    for (const [key, value] of Object.entries(next)) dataset[key] = String(value);
    this.#status.textContent = status.text;
    this.#badges.replaceChildren(
      ...(muted ? [icon('microphoneOff')] : []),
      ...(voiceless ? [icon('microphoneMissing')] : []),
      ...(deafened ? [icon('headphonesOff')] : []),
    );
  }

  /** Lets go of the picture; the tile is gone from the page. */
  close(): void {
    this.#picture.close();
  }

  #showPictureState(): void {
    this.root.dataset.picture = this.#picture.state;
  }
}

/** The one thing most worth saying of someone. */
function statusOf(participant: Participant, muted: boolean, deafened: boolean): { kind: string; text: string } {
  if (deafened) return { kind: 'deafened', text: muted ? 'Deafened and muted' : 'Deafened: hears nobody' };
  if (muted) return { kind: 'muted', text: 'Muted' };
  if (participant.speaking) return { kind: 'speaking', text: 'Speaking' };
  if (isVoiceless(participant)) return { kind: 'listening', text: 'Only listening' };
  const voice = [...participant.streams.values()].find(({ source }) => source === 'mic');
  const isFlowing = voice?.received === 'yes' && !voice.paused;
  if (participant.isSelf || isFlowing) return { kind: 'connected', text: 'Connected' };
  return { kind: 'connecting', text: 'Connecting…' };
}

/** The first letters of the first two words, else the first two letters. */
function initials(userId: string): string {
  const words = userId.split(/[^A-Za-z0-9]+/).filter(Boolean);
  const [first = userId, second] = words;
  return (second ? first.charAt(0) + second.charAt(0) : first.slice(0, 2)).toUpperCase();
}

/** A colour of one's own that stays the same in every browser. */
function hue(userId: string): number {
  let hash = 0;
  for (const char of userId) hash = (hash * 31 + char.charCodeAt(0)) % 360;
  return hash;
}
