// The room: who is here, how the connection is, and the controls of one's own microphone and ears.

import type { Call, Phase } from '../call';
import { MICROPHONE_SENTENCES, PLAYBACK_BLOCKED } from '../sentences';
import { announce, element, icon, type IconName } from './element';
import { notice } from './notice';
import { Tile } from './tile';

/** How long the copy button says that it has copied. */
const COPIED_MS = 2_000;

const CONNECTION_TEXTS: Record<Phase, string> = {
  connecting: 'Connecting…',
  connected: 'Connected',
  reconnecting: 'Reconnecting…',
  ended: 'Ended',
};

export class CallView {
  readonly root: HTMLElement;
  readonly #call: Call;
  readonly #tiles = new Map<string, Tile>();
  readonly #grid = element('ul', { class: 'tiles', 'aria-label': 'People in the room' });
  readonly #count = element('span', { class: 'quiet' });
  readonly #connection = element('span', { class: 'connection', role: 'status' });
  readonly #notices = element('div', { class: 'notices' });
  readonly #invitation = element('p', { class: 'quiet invitation' });
  readonly #muteButton: HTMLButtonElement;
  readonly #deafenButton: HTMLButtonElement;
  #noticesShown = '';

  constructor(call: Call, onLeave: () => void) {
    this.#call = call;
    this.#muteButton = control('m', () => this.#toggleMicrophone());
    this.#deafenButton = control('d', () => void call.setDeafened(!call.deafened));
    const leaveButton = control('', onLeave);
    dress(leaveButton, 'leave', 'Leave');
    leaveButton.classList.add('danger');
    const copyButton = element('button', { type: 'button', class: 'button', click: () => void copyLink(copyButton, call.channelId) });
    copyButton.append(icon('link'), element('span', {}, 'Copy link'));
    this.#invitation.textContent = 'Nobody else is here yet. Send the link to whom you want to talk to.';

    this.root = element(
      'div',
      { class: 'call', 'data-view': 'call' },
      element(
        'header',
        { class: 'call-header' },
        element('img', { src: '/favicon.svg', alt: '', width: '30', height: '30' }),
        element('h1', { tabindex: '-1' }, call.channelId),
        this.#count,
        this.#connection,
        copyButton,
      ),
      element('main', { class: 'call-main' }, this.#notices, this.#grid, this.#invitation),
      element('footer', { class: 'controls', 'aria-label': 'Call controls' }, this.#muteButton, this.#deafenButton, leaveButton),
    );
    this.update();
  }

  focus(): void {
    this.#muteButton.focus();
  }

  /** Keys work anywhere on the page, as long as nothing else wants them. */
  handleKey(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const button = { m: this.#muteButton, d: this.#deafenButton }[event.key.toLowerCase()];
    button?.click();
  }

  /** Brings the page up to what the call says now. */
  update(): void {
    // The entrance takes over and tells why.
    if (this.#call.connection === 'ended') return;
    this.#updateConnection();
    this.#updateTiles();
    this.#updateControls();
    this.#updateNotices();
  }

  #updateConnection(): void {
    const state = this.#call.connection;
    if (this.#connection.dataset.state === state) return;
    this.#connection.dataset.state = state;
    this.#connection.textContent = CONNECTION_TEXTS[state];
  }

  #updateTiles(): void {
    const { participants } = this.#call.room;
    for (const [userId, tile] of this.#tiles) {
      if (participants.has(userId)) continue;
      tile.root.remove();
      this.#tiles.delete(userId);
      announce(`${userId} has left`);
    }
    for (const participant of participants.values()) {
      let tile = this.#tiles.get(participant.userId);
      if (!tile) {
        tile = new Tile(participant);
        this.#tiles.set(participant.userId, tile);
        this.#grid.append(tile.root);
        if (!participant.isSelf) announce(`${participant.userId} is here`);
      }
      tile.update(participant);
    }
    const count = participants.size;
    this.#count.textContent = count === 1 ? '1 person' : `${count} people`;
    this.#grid.dataset.count = String(Math.min(count, 5));
    this.#invitation.hidden = count !== 1;
  }

  #updateControls(): void {
    const { muted, deafened, microphoneFault } = this.#call;
    const isSilent = muted || microphoneFault !== null;
    dress(this.#muteButton, isSilent ? 'microphoneOff' : 'microphone', muteLabel(muted, microphoneFault !== null));
    this.#muteButton.disabled = microphoneFault === 'forbidden';
    this.#muteButton.setAttribute('aria-pressed', String(isSilent));
    dress(this.#deafenButton, deafened ? 'headphonesOff' : 'headphones', deafened ? 'Undeafen' : 'Deafen');
    this.#deafenButton.setAttribute('aria-pressed', String(deafened));
  }

  #updateNotices(): void {
    const { microphoneFault, isPlaybackBlocked } = this.#call;
    const shown = `${microphoneFault} ${isPlaybackBlocked}`;
    if (shown === this.#noticesShown) return;
    this.#noticesShown = shown;
    const retry = { label: 'Try again', run: () => void this.#call.startMicrophone() };
    const unblock = { label: 'Play the sound', run: () => void this.#call.unblockPlayback() };
    this.#notices.replaceChildren(
      ...(isPlaybackBlocked ? [notice('playbackBlocked', PLAYBACK_BLOCKED, unblock)] : []),
      ...(microphoneFault
        ? [
            notice(
              `microphone-${microphoneFault}`,
              MICROPHONE_SENTENCES[microphoneFault],
              microphoneFault === 'forbidden' ? undefined : retry,
            ),
          ]
        : []),
    );
  }

  #toggleMicrophone(): void {
    if (this.#call.microphoneFault) void this.#call.startMicrophone();
    else void this.#call.setMuted(!this.#call.muted);
  }
}

function muteLabel(muted: boolean, isMissing: boolean): string {
  if (isMissing) return 'No mic';
  return muted ? 'Unmute' : 'Mute';
}

function control(key: string, click: () => void): HTMLButtonElement {
  return element('button', { type: 'button', class: 'control', click, ...(key ? { 'aria-keyshortcuts': key } : {}) });
}

/** Gives a button its icon and label; it is left alone where it has them already, so that it keeps the focus ring. */
function dress(button: HTMLButtonElement, name: IconName, label: string): void {
  if (button.dataset.label === label) return;
  button.dataset.label = label;
  button.replaceChildren(icon(name), element('span', {}, label));
}

/** Copies the room's link without the token: that is for one person only. */
async function copyLink(button: HTMLButtonElement, room: string): Promise<void> {
  const label = button.querySelector('span');
  if (!label) return;
  try {
    await navigator.clipboard.writeText(`${location.origin}/#room=${encodeURIComponent(room)}`);
    label.textContent = 'Copied';
  } catch {
    label.textContent = 'Copying is not allowed';
  }
  setTimeout(() => (label.textContent = 'Copy link'), COPIED_MS);
}
