// When flashes are shown and beeps are played, by one clock: that of `performance.now()`.
//
// A flash: the browser says of each picture when it expects it on the screen (`expectedDisplayTime`).
// A beep: an audio context of our own hears the track after the browser's jitter buffer, which is where it is held back to be
// in step with the pictures, and says at which of its samples the beep begins. When that sample leaves for the loudspeaker,
// Chromium says itself (`getOutputTimestamp`). Asking Firefox the same stops its page now and then for ever, and so there it
// is the time at which the sample was rendered, without what the loudspeaker's buffer takes. The element that plays the track
// has its own way from the jitter buffer; ours is longer by the buffer of a tapped track, 10 to 20 ms. All this is the same
// for a track that was never sent: a publisher's own times tell what the instrument adds.

/** A beep begins where it was silent for so long. */
const SILENCE_SECONDS = 0.3;
const LOUD = 0.1;
const BRIGHT = 128;
/** Every so many pieces of 128 samples the ear says what time it is: each 53 ms. */
const PIECES = 20;
/** The two clocks are compared by as many of these: the last two seconds. */
const COMPARISONS = 40;

const EAR = `
  registerProcessor('ear', class extends AudioWorkletProcessor {
    #lastLoud = 0;
    #pieces = 0;
    process([[samples = []]]) {
      let beep = null;
      for (const [place, sample] of samples.entries()) {
        if (Math.abs(sample) < ${LOUD}) continue;
        const time = currentTime + place / sampleRate;
        if (time - this.#lastLoud > ${SILENCE_SECONDS}) beep = time;
        this.#lastLoud = time;
      }
      if (beep !== null || ++this.#pieces % ${PIECES} === 0) this.port.postMessage({ beep, now: currentTime });
      return true;
    }
  });`;

export class Stopwatch {
  flashes = [];
  beeps = [];

  /** Takes the times of what an element shows and of what a track lets hear. */
  static async start(video, sound) {
    const stopwatch = new Stopwatch();
    stopwatch.#watch(video);
    await stopwatch.#listen(new MediaStream([sound]));
    return stopwatch;
  }

  #watch(video) {
    const canvas = Object.assign(document.createElement('canvas'), { width: 8, height: 8 });
    const glass = canvas.getContext('2d', { willReadFrequently: true });
    let wasBright = false;
    const look = (_, { expectedDisplayTime }) => {
      glass.drawImage(video, 0, 0, canvas.width, canvas.height);
      const [red] = glass.getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data;
      if (red > BRIGHT && !wasBright) this.flashes.push(expectedDisplayTime);
      wasBright = red > BRIGHT;
      video.requestVideoFrameCallback(look);
    };
    video.requestVideoFrameCallback(look);
  }

  async #listen(stream) {
    const context = new AudioContext({ sampleRate: 48_000, latencyHint: 'interactive' });
    await context.audioWorklet.addModule(URL.createObjectURL(new Blob([EAR], { type: 'text/javascript' })));
    const ear = new AudioWorkletNode(context, 'ear', { numberOfOutputs: 1 });
    const clock = navigator.userAgent.includes('Firefox') ? new RenderingClock() : new LoudspeakerClock(context);
    ear.port.onmessage = ({ data: { beep, now } }) => {
      clock.compare(now);
      if (beep !== null) this.beeps.push(clock.timeOf(beep));
    };
    context.createMediaStreamSource(stream).connect(ear).connect(context.destination);
    await context.resume();
  }
}

/** Tells when what a context made at a time of its own leaves for the loudspeaker. */
class LoudspeakerClock {
  constructor(context) {
    this.context = context;
  }

  compare() {}

  timeOf(time) {
    const { contextTime, performanceTime } = this.context.getOutputTimestamp();
    return performanceTime + (time - contextTime) * 1000;
  }
}

/** Tells when a context made what it made at a time of its own. */
class RenderingClock {
  #differences = [];

  compare(now) {
    this.#differences = [...this.#differences.slice(1 - COMPARISONS), performance.now() - now * 1000];
  }

  /** Messages from the audio thread may be late, never early by more than a piece: the middle one is taken. */
  timeOf(time) {
    const sorted = this.#differences.toSorted((one, other) => one - other);
    return time * 1000 + sorted[Math.floor(sorted.length / 2)];
  }
}
