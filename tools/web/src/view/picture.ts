// A moving picture. It is seen from its first frame on: nobody looks at something black, or at a picture that stands
// still because its sender is resting.

import type { PictureSource, Shown } from '../room';
import { element } from './element';

/** Nothing to be seen; something that has not come yet; a picture; something that this browser can't show. */
export type PictureState = 'off' | 'waiting' | 'live' | 'refused';

export class Picture {
  /** Called when the state or the shape has changed of itself. */
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
      loadeddata: () => this.#onData(),
      resize: () => this.#onResize(),
    });
    // Its sound, if any, is played elsewhere; and what makes no sound may always play.
    this.root.muted = true;
  }

  get state(): PictureState {
    return this.#state;
  }

  /** Width by height, to two digits: encodings of one picture are cut by a line or two. Null before the first frame. */
  get shape(): number | null {
    const { videoWidth, videoHeight } = this.root;
    return videoWidth && videoHeight ? Math.round((videoWidth / videoHeight) * 100) / 100 : null;
  }

  /** Shows what there is to be seen, or nothing. */
  show(shown: Shown | null): void {
    const track = shown?.track;
    if (track && track !== this.#track) {
      this.#track = track;
      this.root.srcObject = new MediaStream([track]);
      this.#setState('off');
    }
    if (!shown) return this.#setState('off');
    if (shown.isRefused) return this.#setState('refused');
    if (this.#state === 'waiting' || this.#state === 'live') return;
    this.#setState('waiting');
    this.#awaitFrame();
  }

  /** Lets go of the track for good. */
  close(): void {
    this.show(null);
    this.root.srcObject = null;
  }

  /**
   * Waits for a frame that is new: the element may still hold the one at which its sender went to rest. Browsers draw
   * nothing in a page that is hidden, and nobody looks at it; there any frame will do.
   */
  #awaitFrame(): void {
    if ('requestVideoFrameCallback' in this.root) this.root.requestVideoFrameCallback(() => this.#onFrame());
    if (this.root.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA) this.#onData();
  }

  #onData(): void {
    if (document.hidden || !('requestVideoFrameCallback' in this.root)) this.#onFrame();
  }

  #onFrame(): void {
    if (this.#state !== 'waiting') return;
    this.#setState('live');
    this.onChange();
  }

  /** Upright pictures are not cut to lying ones. */
  #onResize(): void {
    this.root.dataset.shape = this.root.videoHeight > this.root.videoWidth ? 'upright' : 'lying';
    this.onChange();
  }

  #setState(state: PictureState): void {
    this.#state = state;
    this.root.dataset.state = state;
  }
}
