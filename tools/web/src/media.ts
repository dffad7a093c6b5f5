// The media of one connection: mediasoup-client's device, its transports, what is sent and what is received.
// It knows streams, not people.

import { Device } from 'mediasoup-client';
import type {
  Consumer,
  Producer,
  ProducerOptions,
  RtpCapabilities,
  RtpCodecCapability,
  Transport,
} from 'mediasoup-client/types';
import {
  cameraEncodings,
  ladderOf,
  screenEncodings,
  screenSoundOptions,
  videoOptions,
  voiceOptions,
  type Ladder,
} from './encodings';
import type { Settings, Source } from './protocol';
import type { Signaling } from './signaling';

/** How the way to the service is doing. Without any stream it is `idle`: nothing connects then. */
export type MediaState = 'idle' | 'connecting' | 'connected' | 'interrupted' | 'failed';

/** A stream that is received; it flows once it is resumed. */
export interface Reception {
  consumerId: string;
  track: MediaStreamTrack;
}

export class Media {
  onStateChange: (state: MediaState) => void = () => {};

  readonly #signaling: Signaling;
  readonly #device: Device;
  readonly #consumers = new Map<string, Consumer>();
  readonly #producers = new Map<Source, Producer>();
  #sendTransport: Transport | null = null;
  #receiveTransport: Transport | null = null;

  private constructor(signaling: Signaling, device: Device) {
    this.#signaling = signaling;
    this.#device = device;
  }

  /** Fails where the browser is none that mediasoup-client knows. */
  static async load(signaling: Signaling, routerRtpCapabilities: RtpCapabilities): Promise<Media> {
    const device = await Device.factory();
    await device.load({ routerRtpCapabilities });
    return new Media(signaling, device);
  }

  /** What this browser can receive; goes with `join`. */
  get rtpCapabilities(): RtpCapabilities {
    return this.#device.recvRtpCapabilities;
  }

  get state(): MediaState {
    const states = [this.#sendTransport, this.#receiveTransport].map((transport) => transport?.connectionState);
    if (states.includes('failed')) return 'failed';
    if (states.includes('disconnected')) return 'interrupted';
    if (states.includes('connecting')) return 'connecting';
    return states.includes('connected') ? 'connected' : 'idle';
  }

  /** Whether a transport that the service speaks of is one of these. */
  has(transportId: string): boolean {
    return transportId === this.#sendTransport?.id || transportId === this.#receiveTransport?.id;
  }

  /** Makes both transports; to be called once, after the room is joined. */
  async open(): Promise<void> {
    [this.#receiveTransport, this.#sendTransport] = await Promise.all([
      this.#createTransport('recv'),
      this.#createTransport('send'),
    ]);
  }

  /**
   * Sends a track; where the source is sent already, it takes the place of the one before. `codec` names the codec that
   * a picture is to have, where browser and service know it. Rejects when the service refuses it.
   */
  async send(source: Source, track: MediaStreamTrack, settings: Settings, codec: string | null): Promise<void> {
    const sent = this.#producers.get(source);
    if (sent) return sent.replaceTrack({ track });
    if (!this.#sendTransport) throw new Error('the transports are not open');
    const producer = await this.#sendTransport.produce({
      track,
      ...this.#encoding(source, settings, codec),
      // The track outlives the connection: a new one goes on with it.
      stopTracks: false,
      appData: { source },
    });
    this.#producers.set(source, producer);
  }

  /** Whether a source is sent, has a stream that rests, or has none. */
  sendingOf(source: Source): 'yes' | 'resting' | 'no' {
    const producer = this.#producers.get(source);
    if (!producer) return 'no';
    return producer.track ? 'yes' : 'resting';
  }

  /** Silences the track itself, so that nothing said leaves this machine. */
  setMicrophoneMuted(muted: boolean): void {
    const producer = this.#producers.get('mic');
    if (muted) producer?.pause();
    else producer?.resume();
  }

  /** Sends nothing of a source for a while. Its stream stays, and goes on with the next track that is sent. */
  async rest(source: Source): Promise<void> {
    await this.#producers.get(source)?.replaceTrack({ track: null });
  }

  /** Ends the stream of a source. */
  stopSending(source: Source): void {
    const producer = this.#producers.get(source);
    if (!producer) return;
    this.#producers.delete(source);
    producer.close();
    // A connection that ended has closed it already.
    this.#signaling.request('closeProducer', { producerId: producer.id }).catch(() => {});
  }

  /** Asks for a stream. Those with the same `streamId` are played in step, lips with voice. */
  async receive(producerId: string, streamId: string): Promise<Reception> {
    if (!this.#receiveTransport) throw new Error('the transports are not open');
    const { consumerId, kind, rtpParameters } = await this.#signaling.request('consume', { producerId });
    const consumer = await this.#receiveTransport.consume({ id: consumerId, producerId, kind, rtpParameters, streamId });
    this.#consumers.set(producerId, consumer);
    return { consumerId, track: consumer.track };
  }

  /** Lets a stream flow, from its next key frame on. */
  async resume({ consumerId }: Reception): Promise<void> {
    await this.#signaling.request('resumeConsumer', { consumerId });
  }

  /** Forgets a stream that has ended. */
  drop(producerId: string): void {
    this.#consumers.get(producerId)?.close();
    this.#consumers.delete(producerId);
  }

  close(): void {
    this.onStateChange = () => {};
    this.#sendTransport?.close();
    this.#receiveTransport?.close();
    this.#consumers.clear();
    this.#producers.clear();
  }

  /** How a source is encoded. */
  #encoding(source: Source, settings: Settings, codec: string | null): ProducerOptions {
    const opus = settings.audio?.opus ?? {};
    const chosen = this.#videoCodec(codec);
    switch (source) {
      case 'mic':
        return { codecOptions: voiceOptions(opus) };
      case 'screenAudio':
        return { codecOptions: screenSoundOptions(opus) };
      case 'screen':
        return { codec: chosen, codecOptions: videoOptions(), encodings: screenEncodings() };
      case 'camera': {
        const encodings = cameraEncodings(settings.video?.layers ?? [], this.#ladder(chosen));
        return { codec: chosen, codecOptions: videoOptions(), encodings };
      }
    }
  }

  /** Of the codecs that browser and service share, the one of this name, else the first. */
  #videoCodec(name: string | null): RtpCodecCapability | undefined {
    const { codecs: known = [] } = this.#device.sendRtpCapabilities;
    const codecs = known.filter(({ kind, mimeType }) => kind === 'video' && !/\/rtx$/i.test(mimeType));
    return codecs.find(({ mimeType }) => mimeType.toLowerCase() === `video/${name}`) ?? codecs[0];
  }

  #ladder(codec: RtpCodecCapability | undefined): Ladder {
    return ladderOf(codec?.mimeType ?? '', this.#device.handlerName.startsWith('Chrome'));
  }

  async #createTransport(direction: 'send' | 'recv'): Promise<Transport> {
    const { transportId, ...parameters } = await this.#signaling.request('createTransport', { direction });
    const options = {
      id: transportId,
      iceParameters: parameters.iceParameters,
      iceCandidates: parameters.iceCandidates,
      dtlsParameters: parameters.dtlsParameters,
      iceServers: parameters.iceServers,
    };
    const transport =
      direction === 'send' ? this.#device.createSendTransport(options) : this.#device.createRecvTransport(options);
    transport.on('connect', ({ dtlsParameters }, done, fail) => {
      this.#signaling.request('connectTransport', { transportId, dtlsParameters }).then(done, fail);
    });
    transport.on('produce', ({ kind, rtpParameters, appData }, done, fail) => {
      this.#signaling
        .request('produce', { transportId, kind, rtpParameters, source: appData['source'] as Source })
        .then(({ producerId }) => done({ id: producerId }), fail);
    });
    transport.on('connectionstatechange', () => this.onStateChange(this.state));
    return transport;
  }
}
