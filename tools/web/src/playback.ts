// Lets the others be heard: one audio element a stream, which keeps stereo and the browser's own jitter buffer.

import type { Stream } from './room';

export class Playback {
  /** Called when the browser begins or ceases to hold sound back until the user clicks. */
  onChange: () => void = () => {};

  readonly #elements = new Map<string, HTMLAudioElement>();
  #deafened = false;
  #blocked = false;

  get isBlocked(): boolean {
    return this.#blocked;
  }

  /** Plays a stream's track; the element's `data-user` and `data-source` tell whose it is, and of what. */
  play({ producerId, userId, source }: Stream, track: MediaStreamTrack): void {
    this.stop(producerId);
    const element = document.createElement('audio');
    element.dataset.user = userId;
    element.dataset.source = source;
    element.autoplay = true;
    element.muted = this.#deafened;
    element.srcObject = new MediaStream([track]);
    this.#elements.set(producerId, element);
    document.body.append(element);
    void this.#start(element);
  }

  stop(producerId: string): void {
    const element = this.#elements.get(producerId);
    if (!element) return;
    element.srcObject = null;
    element.remove();
    this.#elements.delete(producerId);
  }

  stopAll(): void {
    for (const producerId of [...this.#elements.keys()]) this.stop(producerId);
    this.#setBlocked(false);
  }

  setDeafened(deafened: boolean): void {
    this.#deafened = deafened;
    for (const element of this.#elements.values()) element.muted = deafened;
  }

  /** Tries again what the browser blocked; to be called from a click. */
  async unblock(): Promise<void> {
    this.#setBlocked(false);
    await Promise.all([...this.#elements.values()].map((element) => this.#start(element)));
  }

  async #start(element: HTMLAudioElement): Promise<void> {
    try {
      await element.play();
    } catch (error) {
      if (error instanceof DOMException && error.name === 'NotAllowedError') this.#setBlocked(true);
    }
  }

  #setBlocked(blocked: boolean): void {
    if (blocked === this.#blocked) return;
    this.#blocked = blocked;
    this.onChange();
  }
}
