// Who is speaking, measured from the tracks themselves.

/** How often the levels are looked at. */
const INTERVAL_MS = 100;
/** Speech is over about −45 dBFS; a quiet room with noise suppression stays below. */
const THRESHOLD = 0.0056;
/** Pauses between words do not end speaking. */
const HOLD_MS = 400;

interface Meter {
  track: MediaStreamTrack;
  source: MediaStreamAudioSourceNode;
  analyser: AnalyserNode;
  samples: Float32Array<ArrayBuffer>;
  lastLoudAt: number;
  speaking: boolean;
}

export class SpeechMeter {
  /** Called when someone starts or stops to speak. */
  onChange: (userId: string, speaking: boolean) => void = () => {};

  readonly #context = new AudioContext();
  readonly #meters = new Map<string, Meter>();
  readonly #timer = setInterval(() => this.#look(), INTERVAL_MS);

  /** Begins to measure a user's track, instead of the one before if there was one. */
  watch(userId: string, track: MediaStreamTrack): void {
    if (this.#meters.get(userId)?.track === track) return;
    this.forget(userId);
    const source = this.#context.createMediaStreamSource(new MediaStream([track]));
    const analyser = this.#context.createAnalyser();
    analyser.fftSize = 2048;
    source.connect(analyser);
    this.#meters.set(userId, {
      track,
      source,
      analyser,
      samples: new Float32Array(analyser.fftSize),
      lastLoudAt: -Infinity,
      speaking: false,
    });
  }

  forget(userId: string): void {
    const meter = this.#meters.get(userId);
    if (!meter) return;
    meter.source.disconnect();
    this.#meters.delete(userId);
    if (meter.speaking) this.onChange(userId, false);
  }

  /** A browser may hold audio back until the user has clicked somewhere. */
  resume(): void {
    void this.#context.resume();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#meters.clear();
    void this.#context.close();
  }

  #look(): void {
    const now = performance.now();
    for (const [userId, meter] of this.#meters) {
      meter.analyser.getFloatTimeDomainData(meter.samples);
      const energy = meter.samples.reduce((sum, sample) => sum + sample * sample, 0);
      if (Math.sqrt(energy / meter.samples.length) > THRESHOLD) meter.lastLoudAt = now;
      const speaking = now - meter.lastLoudAt < HOLD_MS;
      if (speaking === meter.speaking) continue;
      meter.speaking = speaking;
      this.onChange(userId, speaking);
    }
  }
}
