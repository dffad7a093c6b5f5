// Someone who watches a video element and writes down every picture that it shows.

import { PICTURES, read, readingGlass } from './picture.js';

/** A stream that is restarted counts from 0 again; one that jumps back less than this has shown old pictures. */
const HALF = PICTURES / 2;

export class Viewer {
  /** What was seen since the last `forget`. */
  seen = nothing();
  /** What is shown now: a number and the how manieth, or null. */
  shown = null;
  /** When the first picture of all was shown, by the clock of `performance.now()`. */
  firstAt = null;

  #video;
  #glass = readingGlass();

  constructor(video) {
    this.#video = video;
    this.#wait();
  }

  /** Begins to count anew. */
  forget() {
    this.seen = nothing();
  }

  #wait() {
    this.#video.requestVideoFrameCallback((now) => {
      // An element that was taken away is shown no more.
      if (this.#video.srcObject === null) return;
      this.#look(now);
      this.#wait();
    });
  }

  #look(now) {
    const before = this.shown;
    this.shown = read(this.#video, this.#glass);
    this.seen.frames++;
    this.seen.width = this.#video.videoWidth;
    this.seen.height = this.#video.videoHeight;
    if (this.seen.lastAt !== null) this.seen.gapMaxMs = Math.max(this.seen.gapMaxMs, now - this.seen.lastAt);
    this.seen.lastAt = now;
    if (this.shown === null) {
      this.seen.unreadable++;
      this.shown = before;
      return;
    }
    this.firstAt ??= now;
    this.seen.numbers[this.shown.number] = (this.seen.numbers[this.shown.number] ?? 0) + 1;
    if (before?.number === this.shown.number) {
      const step = (this.shown.picture - before.picture + PICTURES) % PICTURES;
      if (step >= HALF) this.seen.backward++;
      else if (step > 0) this.seen.pictures++;
    }
  }
}

function nothing() {
  return {
    /** Frames that were shown, and those of them that nothing could be read from. */
    frames: 0,
    unreadable: 0,
    /** Frames by the number that they bear. */
    numbers: {},
    /** Pictures that came after another, and that came after a later one. */
    pictures: 0,
    backward: 0,
    /** The longest time from one frame to the next. */
    gapMaxMs: 0,
    lastAt: null,
    width: 0,
    height: 0,
  };
}
