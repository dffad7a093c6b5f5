// What needs a person's attention during a call: one sentence on what happened, one thing to do about it.

import type { Call } from '../call';
import type { CaptureFault, CaptureSource } from '../capture';
import { CAPTURE_SENTENCES, CONNECTION_LOST, COPYING_REFUSED, PLAYBACK_BLOCKED } from '../sentences';
import { element } from './element';
import { notice } from './notice';

/** The sources that may be missing, with the name of their notices. */
const SOURCES = [
  ['mic', 'microphone'],
  ['camera', 'camera'],
  ['screen', 'screen'],
] as const;

/** Faults that another try in the same call can't mend. */
const LASTING: CaptureFault[] = ['forbidden', 'insecure', 'unsupported'];

export class Notices {
  readonly root = element('div', { class: 'notices' });
  readonly #call: Call;
  #shown = '';
  /** To be copied by hand. */
  #link: string | null = null;

  constructor(call: Call) {
    this.#call = call;
  }

  /** Shows a link that the browser did not let be copied. */
  offerLink(link: string): void {
    this.#link = link;
    this.update();
    this.root.querySelector('input')?.select();
  }

  update(): void {
    const { connection, isPlaybackBlocked, publisher } = this.#call;
    const isLost = connection === 'reconnecting';
    const faults = SOURCES.map(([source]) => publisher.faultOf(source));
    // A notice that stays is left alone: made anew, it would be spoken again.
    const shown = [isLost, isPlaybackBlocked, this.#link, ...faults].join();
    if (shown === this.#shown) return;
    this.#shown = shown;
    const unblock = { label: 'Play the sound', run: () => void this.#call.unblockPlayback() };
    this.root.replaceChildren(
      ...(isLost ? [notice('connectionLost', CONNECTION_LOST)] : []),
      ...(isPlaybackBlocked ? [notice('playbackBlocked', PLAYBACK_BLOCKED, unblock)] : []),
      ...SOURCES.flatMap(([source, name], index) => {
        const fault = faults[index];
        return fault ? [this.#captureNotice(source, name, fault)] : [];
      }),
      ...(this.#link === null ? [] : [this.#linkNotice(this.#link)]),
    );
  }

  #linkNotice(link: string): HTMLElement {
    const field = element('input', { class: 'link', value: link, readonly: true, 'aria-label': 'Link of the room' });
    field.addEventListener('focus', () => field.select());
    const dismiss = () => {
      this.#link = null;
      this.#call.onChange();
    };
    return notice('copyingRefused', COPYING_REFUSED, field, { label: 'Dismiss', run: dismiss });
  }

  #captureNotice(source: CaptureSource, name: string, fault: CaptureFault): HTMLElement {
    const { publisher } = this.#call;
    const retry = { label: 'Try again', run: () => void publisher.start(source) };
    const dismiss = { label: 'Dismiss', run: () => publisher.forgive(source) };
    const actions = [
      ...(LASTING.includes(fault) ? [] : [retry]),
      // That nobody can hear one stays to be seen; the camera and the screen are only off again.
      ...(source === 'mic' ? [] : [dismiss]),
    ];
    return notice(`${name}-${fault}`, CAPTURE_SENTENCES[source][fault], ...actions);
  }
}
