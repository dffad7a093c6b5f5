// The media of one connection: mediasoup-client's device, its transports, what is sent and what is received.
// It knows streams, not people.

import { Device } from 'mediasoup-client';
import type { Consumer, Producer, ProducerCodecOptions, RtpCapabilities, Transport } from 'mediasoup-client/types';
import type { OpusSettings } from './protocol';
import type { Signaling } from './signaling';

/** How the way to the service is doing. Without any stream it is `idle`: nothing connects then. */
export type MediaState = 'idle' | 'connecting' | 'connected' | 'interrupted' | 'failed';

export class Media {
  onStateChange: (state: MediaState) => void = () => {};
  /** Called when the microphone was unplugged or taken away. */
  onMicrophoneEnd: () => void = () => {};

  readonly #signaling: Signaling;
  readonly #device: Device;
  readonly #consumers = new Map<string, Consumer>();
  #sendTransport: Transport | null = null;
  #receiveTransport: Transport | null = null;
  #microphone: Producer | null = null;

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

  /** Sends a microphone. Rejects when the service refuses it. */
  async sendMicrophone(track: MediaStreamTrack, opus: OpusSettings): Promise<void> {
    if (!this.#sendTransport) throw new Error('the transports are not open');
    const producer = await this.#sendTransport.produce({
      track,
      codecOptions: opusOptions(opus),
      // The track outlives the connection: a new one goes on with it.
      stopTracks: false,
    });
    this.#microphone = producer;
    producer.on('trackended', () => this.#onTrackEnded(producer));
  }

  get isSendingMicrophone(): boolean {
    return this.#microphone !== null;
  }

  /** Silences the track itself, so that nothing said leaves this machine. */
  setMicrophoneMuted(muted: boolean): void {
    if (muted) this.#microphone?.pause();
    else this.#microphone?.resume();
  }

  /** Receives a stream: its track, which flows once this resolves. */
  async receive(producerId: string, userId: string): Promise<MediaStreamTrack> {
    if (!this.#receiveTransport) throw new Error('the transports are not open');
    const { consumerId, kind, rtpParameters } = await this.#signaling.request('consume', { producerId });
    const consumer = await this.#receiveTransport.consume({
      id: consumerId,
      producerId,
      kind,
      rtpParameters,
      // Streams of one user that carry the same id are played in step, lips with voice.
      streamId: userId,
    });
    this.#consumers.set(producerId, consumer);
    await this.#signaling.request('resumeConsumer', { consumerId });
    return consumer.track;
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
    this.#microphone = null;
  }

  #onTrackEnded(producer: Producer): void {
    this.#microphone = null;
    producer.close();
    // A connection that ended has closed it already.
    this.#signaling.request('closeProducer', { producerId: producer.id }).catch(() => {});
    this.onMicrophoneEnd();
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
    transport.on('produce', ({ kind, rtpParameters }, done, fail) => {
      this.#signaling
        .request('produce', { transportId, kind, rtpParameters, source: 'mic' })
        .then(({ producerId }) => done({ id: producerId }), fail);
    });
    transport.on('connectionstatechange', () => this.onStateChange(this.state));
    return transport;
  }
}

function opusOptions(opus: OpusSettings): ProducerCodecOptions {
  return {
    opusStereo: opus.stereo !== 0,
    opusFec: opus.useinbandfec !== 0,
    opusDtx: opus.usedtx !== 0,
    ...(opus.maxplaybackrate ? { opusMaxPlaybackRate: opus.maxplaybackrate } : {}),
    ...(opus.maxaveragebitrate ? { opusMaxAverageBitrate: opus.maxaveragebitrate } : {}),
  };
}
