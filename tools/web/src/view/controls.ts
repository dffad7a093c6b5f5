// What this user can do: be heard, hear, be seen, share a screen, leave.

import type { Call } from '../call';
import { isScreenShareKnown } from '../capture';
import { element, icon, type IconName } from './element';

export class Controls {
  readonly root: HTMLElement;
  readonly #call: Call;
  readonly #mute: HTMLButtonElement;
  readonly #deafen: HTMLButtonElement;
  readonly #camera: HTMLButtonElement;
  readonly #screen: HTMLButtonElement;

  constructor(call: Call, onLeave: () => void) {
    this.#call = call;
    this.#mute = control('m', () => this.#toggleMicrophone());
    this.#deafen = control('d', () => void call.setDeafened(!call.deafened));
    this.#camera = control('c', () => this.#toggle('camera'));
    this.#screen = control('s', () => this.#toggle('screen'));
    this.#screen.hidden = !isScreenShareKnown();
    const leave = control('', onLeave);
    dress(leave, 'leave', 'Leave');
    leave.classList.add('danger');
    this.root = element(
      'footer',
      { class: 'controls', 'aria-label': 'Call controls' },
      this.#mute,
      this.#deafen,
      this.#camera,
      this.#screen,
      leave,
    );
  }

  focus(): void {
    this.#mute.focus();
  }

  /** Keys work anywhere on the page, as long as nothing else wants them. */
  handleKey(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.target instanceof HTMLInputElement) return;
    const button = { m: this.#mute, d: this.#deafen, c: this.#camera, s: this.#screen }[event.key.toLowerCase()];
    if (!button?.hidden) button?.click();
  }

  update(): void {
    const { muted, deafened, publisher } = this.#call;
    const microphoneFault = publisher.faultOf('mic');
    const isSilent = muted || microphoneFault !== null;
    const isMissing = microphoneFault !== null;
    const muteIcon = muted ? 'microphoneOff' : 'microphone';
    dress(this.#mute, isMissing ? 'microphoneMissing' : muteIcon, muteLabel(muted, isMissing));
    this.#mute.disabled = publisher.isForbidden('mic');
    this.#mute.setAttribute('aria-pressed', String(isSilent));
    dress(this.#deafen, deafened ? 'headphonesOff' : 'headphones', deafened ? 'Undeafen' : 'Deafen');
    this.#deafen.setAttribute('aria-pressed', String(deafened));
    const camera = publisher.activityOf('camera');
    const cameraOff = publisher.isForbidden('camera') ? 'No camera' : 'Start camera';
    const cameraLabel = { off: cameraOff, opening: 'Starting…', on: 'Stop camera' }[camera];
    dress(this.#camera, camera === 'on' ? 'camera' : 'cameraOff', cameraLabel);
    this.#camera.dataset.activity = camera;
    const screen = publisher.activityOf('screen');
    const isScreenForbidden = publisher.isForbidden('screen');
    const screenOff = isScreenForbidden ? 'No sharing' : 'Share screen';
    const screenLabel = { off: screenOff, opening: 'Choose…', on: 'Stop sharing' }[screen];
    dress(this.#screen, screen === 'on' || isScreenForbidden ? 'screenOff' : 'screen', screenLabel);
    this.#screen.dataset.activity = screen;
    for (const [button, source] of [[this.#camera, 'camera'], [this.#screen, 'screen']] as const) {
      // Disabled buttons lose the focus; these come back in a moment, so they keep it.
      button.setAttribute('aria-busy', String(button.dataset.activity === 'opening'));
      // Pressed all the same, it tells once more why not.
      button.dataset.forbidden = String(publisher.isForbidden(source));
    }
  }

  #toggleMicrophone(): void {
    if (this.#call.publisher.faultOf('mic')) void this.#call.publisher.start('mic');
    else void this.#call.setMuted(!this.#call.muted);
  }

  #toggle(source: 'camera' | 'screen'): void {
    const { publisher } = this.#call;
    const activity = publisher.activityOf(source);
    if (activity === 'on') publisher.stop(source);
    if (activity === 'off') void publisher.start(source);
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
  const key = button.getAttribute('aria-keyshortcuts');
  button.title = key ? `${label} (${key.toUpperCase()})` : label;
  button.replaceChildren(icon(name), element('span', {}, label));
}
