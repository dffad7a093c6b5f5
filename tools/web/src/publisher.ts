// What this user sends: opens microphone, camera and screen, keeps them open over as many connections as the call
// takes, and knows why one of them is not sent. What the others are told of it is the call's to say.

import { openCapture, type CaptureFault, type CaptureSource } from './capture';
import { ConnectionEnded, RequestRefused } from './signaling';
import type { Media } from './media';
import type { Settings, Source } from './protocol';

/** A right covers several sources: pictures are allowed or forbidden together. */
const SAME_RIGHT: Record<CaptureSource, CaptureSource[]> = {
  mic: ['mic'],
  camera: ['camera', 'screen'],
  screen: ['camera', 'screen'],
};

/** Whether a source is sent; while it is opening, the browser may be asking the user. */
export type Activity = 'off' | 'opening' | 'on';

export class Publisher {
  /** Called whenever anything that can be read here may have changed. */
  onChange: () => void = () => {};

  readonly #codec: string | null;
  readonly #tracks = new Map<Source, MediaStreamTrack>();
  readonly #opening = new Set<CaptureSource>();
  readonly #faults = new Map<CaptureSource, CaptureFault>();
  /** What the service has refused since the room was joined: asking for a device again would be in vain. */
  readonly #forbidden = new Set<CaptureSource>();
  #media: Media | null = null;
  #settings: Settings = {};
  #muted = false;
  #isClosed = false;
  /** Ends when what is sent is what is open. */
  #settled: Promise<void> = Promise.resolve();

  /** `codec` names the codec that pictures are to have; null leaves it to the service. */
  constructor(codec: string | null) {
    this.#codec = codec;
  }

  activityOf(source: CaptureSource): Activity {
    if (this.#opening.has(source)) return 'opening';
    return this.#tracks.has(source) ? 'on' : 'off';
  }

  /** Why a source that the user wanted is not sent; null while it is, and while it is not wanted. */
  faultOf(source: CaptureSource): CaptureFault | null {
    return this.#faults.get(source) ?? null;
  }

  /** Whether the service has said that this user has no right to a source. */
  isForbidden(source: CaptureSource): boolean {
    return this.#forbidden.has(source);
  }

  /** Whether the service has taken a source, rather than that it is open here only. */
  isSent(source: Source): boolean {
    return this.#media?.sendingOf(source) === 'yes';
  }

  trackOf(source: Source): MediaStreamTrack | undefined {
    return this.#tracks.get(source);
  }

  /** Opens a source, if it is not open yet, and sends it. What is forbidden is only told so. */
  async start(source: CaptureSource): Promise<void> {
    if (this.#opening.has(source)) return;
    this.#faults.delete(source);
    if (this.#forbidden.has(source)) {
      this.#faults.set(source, 'forbidden');
      return this.onChange();
    }
    if (!this.#tracks.has(source)) {
      this.#opening.add(source);
      this.onChange();
      const opened = await openCapture(source);
      this.#opening.delete(source);
      if (typeof opened === 'string') {
        this.#faults.set(source, opened);
      } else {
        const [first, sound] = opened;
        this.#keep(source, first);
        if (source === 'screen' && sound) this.#keep('screenAudio', sound);
      }
      if (this.#isClosed) return this.close();
    }
    await this.#settle(source);
  }

  /** Closes a source: its light goes out, and nothing of it is sent any more. */
  stop(source: CaptureSource): void {
    this.#release(source);
    void this.#settle(source);
  }

  setMuted(muted: boolean): void {
    this.#muted = muted;
    this.#media?.setMicrophoneMuted(muted);
  }

  /** Forgets that a source could not be had. */
  forgive(source: CaptureSource): void {
    this.#faults.delete(source);
    this.onChange();
  }

  /** Sends everything that is open over a new connection, on which the rights may be others. */
  attach(media: Media, settings: Settings): void {
    this.#forbidden.clear();
    this.#media = media;
    this.#settings = settings;
    for (const source of ['mic', 'camera', 'screen'] as const) void this.#settle(source);
  }

  /** The connection is gone. What is open stays open. */
  detach(): void {
    this.#media = null;
  }

  /** Closes everything for good. */
  close(): void {
    this.#isClosed = true;
    this.#media = null;
    for (const source of [...this.#tracks.keys()]) this.#release(source);
  }

  #keep(source: Source, track: MediaStreamTrack): void {
    this.#tracks.set(source, track);
    track.addEventListener('ended', () => this.#onTrackEnd(source, track));
  }

  #release(source: Source): void {
    if (source === 'screen') this.#release('screenAudio');
    const track = this.#tracks.get(source);
    this.#tracks.delete(source);
    track?.stop();
  }

  /** A track was taken away: unplugged, forbidden, or a share that was ended outside the page. */
  #onTrackEnd(source: Source, track: MediaStreamTrack): void {
    if (this.#tracks.get(source) !== track) return;
    this.#release(source);
    if (source === 'mic' || source === 'camera') this.#faults.set(source, 'missing');
    void this.#settle(source === 'screenAudio' ? 'screen' : source);
  }

  /**
   * Brings what is sent of a source to what is open of it, as far as there is a connection. One change after the other,
   * so that a source that is closed while it is being announced is taken back, and none is announced twice.
   */
  #settle(source: CaptureSource): Promise<void> {
    this.onChange();
    this.#settled = this.#settled.then(async () => {
      await this.#settleOne(source);
      if (source === 'screen') await this.#settleOne('screenAudio');
      this.onChange();
    });
    return this.#settled;
  }

  async #settleOne(source: Source): Promise<void> {
    const media = this.#media;
    const track = this.#tracks.get(source);
    if (!media) return;
    try {
      if (track) await media.send(source, track, this.#settings, this.#codec);
      // A camera often comes back; its stream rests, so that nobody has to ask for it anew.
      else if (source === 'camera') await media.rest(source);
      else media.stopSending(source);
      if (source === 'mic') media.setMicrophoneMuted(this.#muted);
    } catch (error) {
      // A connection that ended is made anew and sends the same track then; a source closed meanwhile is not missed.
      if (media !== this.#media || this.#tracks.get(source) !== track || error instanceof ConnectionEnded) return;
      this.#onRefusal(source, error);
    }
  }

  #onRefusal(source: Source, error: unknown): void {
    const isForbidden = error instanceof RequestRefused && error.code === 'forbidden';
    if (!isForbidden) console.error(error);
    this.#release(source);
    // A screen without its sound is still worth showing.
    if (source === 'screenAudio') return;
    if (isForbidden) for (const same of SAME_RIGHT[source]) this.#forbidden.add(same);
    this.#faults.set(source, isForbidden ? 'forbidden' : 'failed');
    void this.#settle(source);
  }
}
