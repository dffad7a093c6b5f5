// A moving picture. It is seen from its first frame on: nobody looks at something black, or at a picture that stands
// still because its sender is resting.

import type { PictureSource, Shown } from '../room';
import { element } from './element';

/** Nothing to be seen; something that has not come yet; a picture; something that this browser can't show. */
export type PictureState = 'off' | 'waiting' | 'live' | 'refused';

export class Picture {
  /** Called when the state has changed of itself. */
  onChange: () => void = () => {};

  readonly root: HTMLVideoElement;
  #track: MediaStreamTrack | null = null;
  #state: PictureState = 'off';

  constructor(userId: string, source: PictureSource, label: string) {
    this.root = element('video', {
      class: 'picture',
      'data-user': userId,
      'data-source': source,
      'data-state': 'off',
      'aria-label': label,
      autoplay: true,
      playsinline: true,
      disablepictureinpicture: true,
      loadeddata: () => this.#onFirstFrame(),
      resize: () => this.#onResize(),
    });
    // Its sound, if any, is played elsewhere; and what makes no sound may always play.
    this.root.muted = true;
  }

  get state(): PictureState {
    return this.#state;
  }

  /** Shows what there is to be seen, or nothing. */
  show(shown: Shown | null): void {
    const track = shown?.track ?? null;
    if (track !== this.#track) {
      this.#track = track;
      // A stream of its own for each time: the last frame of the time before is gone with the old one.
      this.root.srcObject = track && new MediaStream([track]);
      this.#setState('off');
    }
    if (!shown) this.#setState('off');
    else if (shown.isRefused) this.#setState('refused');
    else if (this.#state !== 'live') this.#setState('waiting');
  }

  #onFirstFrame(): void {
    if (this.#state === 'waiting') this.#setState('live');
    this.onChange();
  }

  /** Upright pictures are not cut to lying ones. */
  #onResize(): void {
    this.root.dataset.shape = this.root.videoHeight > this.root.videoWidth ? 'upright' : 'lying';
  }

  #setState(state: PictureState): void {
    this.#state = state;
    this.root.dataset.state = state;
  }
}
