// A flash and a beep, together, once a second: what lip sync is measured with.

const PERIOD_MS = 1_000;
/** Longer than two pictures take, shorter than half a period. */
const FLASH_MS = 250;
const BEEP_MS = 100;
const BEEP_HZ = 1_000;
/** So often the picture changes, if only a little, so that pictures flow as a camera's do. */
const PICTURE_MS = 50;

export class Metronome {
  #canvas = document.createElement('canvas');
  context = new AudioContext({ sampleRate: 48_000 });
  #gain = new GainNode(this.context, { gain: 0 });
  #isFlashing = false;
  #pictures = 0;
  #timers = [];

  static async start() {
    const metronome = new Metronome();
    await metronome.#start();
    return metronome;
  }

  async #start() {
    Object.assign(this.#canvas, { width: 160, height: 90 });
    this.#paint();
    [this.picture] = this.#canvas.captureStream().getVideoTracks();
    const oscillator = new OscillatorNode(this.context, { frequency: BEEP_HZ });
    const destination = new MediaStreamAudioDestinationNode(this.context, { channelCount: 2 });
    oscillator.connect(this.#gain).connect(destination);
    oscillator.start();
    await this.context.resume();
    [this.sound] = destination.stream.getAudioTracks();
    // The publisher's own view of it.
    this.video = document.createElement('video');
    Object.assign(this.video, { autoplay: true, muted: true, srcObject: new MediaStream([this.picture]) });
    document.body.append(this.video);
    this.#timers.push(setInterval(() => this.#paint(), PICTURE_MS), setInterval(() => this.#tick(), PERIOD_MS));
  }

  stop() {
    for (const timer of this.#timers) clearInterval(timer);
    void this.context.close();
  }

  #tick() {
    const now = this.context.currentTime;
    this.#gain.gain.setValueAtTime(0.5, now).setValueAtTime(0, now + BEEP_MS / 1000);
    this.#isFlashing = true;
    this.#paint();
    setTimeout(() => (this.#isFlashing = false), FLASH_MS);
  }

  #paint() {
    const context = this.#canvas.getContext('2d');
    context.fillStyle = this.#isFlashing ? '#fff' : '#000';
    context.fillRect(0, 0, this.#canvas.width, this.#canvas.height);
    context.fillStyle = '#888';
    context.fillRect(this.#pictures++ % this.#canvas.width, 0, 1, 1);
  }
}
