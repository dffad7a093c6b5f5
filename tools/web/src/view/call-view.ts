// The room: how the connection is, who is here and what they show, and the controls.

import type { Call, Phase } from '../call';
import { Controls } from './controls';
import { element, icon } from './element';
import { Notices } from './notices';
import { Stage } from './stage';

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
  readonly #controls: Controls;
  readonly #notices: Notices;
  readonly #stage: Stage;
  readonly #count = element('span', { class: 'quiet count' });
  readonly #connection = element('span', { class: 'connection', role: 'status' });

  constructor(call: Call, onLeave: () => void) {
    this.#call = call;
    this.#controls = new Controls(call, onLeave);
    this.#notices = new Notices(call);
    this.#stage = new Stage(copyButton(call.channelId));
    this.root = element(
      'div',
      { class: 'call', 'data-view': 'call' },
      element(
        'header',
        { class: 'call-header' },
        element('img', { src: '/favicon.svg', alt: '', width: '30', height: '30' }),
        element('h1', { title: call.channelId }, call.channelId),
        this.#count,
        this.#connection,
        copyButton(call.channelId),
      ),
      element('main', { class: 'call-main' }, this.#notices.root, this.#stage.root),
      this.#controls.root,
    );
    this.update();
  }

  focus(): void {
    this.#controls.focus();
  }

  handleKey(event: KeyboardEvent): void {
    this.#controls.handleKey(event);
  }

  /** Brings the page up to what the call says now. */
  update(): void {
    const { connection, room } = this.#call;
    // The entrance takes over and tells why.
    if (connection === 'ended') return;
    const hadFocus = this.root.contains(document.activeElement);
    this.#updateConnection(connection);
    const count = room.participants.size;
    this.#count.textContent = count === 1 ? '1 person' : `${count} people`;
    this.#stage.update(room.participants);
    this.#controls.update();
    this.#notices.update();
    // What had the focus may be gone, a notice that was dismissed for example; the keyboard is not to start over.
    if (hadFocus && !this.root.contains(document.activeElement)) this.focus();
  }

  #updateConnection(state: Phase): void {
    if (this.#connection.dataset.state === state) return;
    this.#connection.dataset.state = state;
    this.#connection.textContent = CONNECTION_TEXTS[state];
    this.root.dataset.connection = state;
  }
}

/** A button that copies the room's link. */
function copyButton(room: string): HTMLButtonElement {
  const button = element('button', { type: 'button', class: 'button copy', click: () => void copyLink(button, room) });
  button.append(icon('link'), element('span', {}, 'Copy link'));
  return button;
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
