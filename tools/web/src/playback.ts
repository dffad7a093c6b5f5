// Lets the others be heard: one audio element a stream, which keeps stereo and the browser's own jitter buffer.

export class Playback {
  /** Called when the browser begins or ceases to hold sound back until the user clicks. */
  onChange: () => void = () => {};

  readonly #elements = new Map<string, HTMLAudioElement>();
  #deafened = false;
  #blocked = false;

  get isBlocked(): boolean {
    return this.#blocked;
  }

  /** Plays a track; the element's `data-user` tells whose it is. */
  play(streamId: string, userId: string, track: MediaStreamTrack): void {
    this.stop(streamId);
    const element = document.createElement('audio');
    element.dataset.user = userId;
    element.autoplay = true;
    element.muted = this.#deafened;
    element.srcObject = new MediaStream([track]);
    this.#elements.set(streamId, element);
    document.body.append(element);
    void this.#start(element);
  }

  stop(streamId: string): void {
    const element = this.#elements.get(streamId);
    if (!element) return;
    element.srcObject = null;
    element.remove();
    this.#elements.delete(streamId);
  }

  stopAll(): void {
    for (const streamId of [...this.#elements.keys()]) this.stop(streamId);
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
