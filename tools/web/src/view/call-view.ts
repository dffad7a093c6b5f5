// The room: how the connection is, who is here and what they show, and the controls.

import { Announcements } from '../announcements';
import type { Call, Phase } from '../call';
import { Controls } from './controls';
import { copyButton } from './copy-button';
import { announce, element } from './element';
import { Notices } from './notices';
import { Stage } from './stage';

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
  readonly #announcements = new Announcements();
  readonly #count = element('span', { class: 'quiet count' });
  readonly #connection = element('span', { class: 'connection', role: 'status' });

  constructor(call: Call, onLeave: () => void) {
    this.#call = call;
    this.#controls = new Controls(call, onLeave);
    this.#notices = new Notices(call);
    const copy = () => copyButton(call.channelId, (link) => this.#notices.offerLink(link));
    this.#stage = new Stage(copy());
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
        copy(),
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
    const { connection, publisher, room } = this.#call;
    // The entrance takes over and tells why.
    if (connection === 'ended') return;
    const hadFocus = this.root.contains(document.activeElement);
    this.#updateConnection(connection);
    const count = room.participants.size;
    this.#count.textContent = count === 1 ? '1 person' : `${count} people`;
    this.#stage.update(room.participants);
    this.#controls.update();
    this.#notices.update();
    if (connection !== 'reconnecting') {
      announce(...this.#announcements.next(room.participants, publisher.isSent('screen')));
    }
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
