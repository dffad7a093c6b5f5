// A camera that is a canvas: it shows one picture after another, each with its number.

import { paint, PICTURES } from './picture.js';

/** Two cores encode and decode several streams at this rate. */
const PICTURES_PER_SECOND = 10;

export class Easel {
  canvas = document.createElement('canvas');
  #timer;
  #picture = 0;

  constructor({ number, width = 320, height = 180, picture = 0 }) {
    this.number = number;
    this.#picture = picture;
    Object.assign(this.canvas, { width, height });
    this.#paint();
    // A picture is taken whenever one has been painted.
    [this.track] = this.canvas.captureStream().getVideoTracks();
    this.#timer = setInterval(() => this.#paint(), 1000 / PICTURES_PER_SECOND);
  }

  /** The number of the picture that is shown now. */
  get picture() {
    return this.#picture;
  }

  stop() {
    clearInterval(this.#timer);
    this.track.stop();
  }

  #paint() {
    this.#picture = (this.#picture + 1) % PICTURES;
    paint(this.canvas, { number: this.number, picture: this.#picture });
  }
}
