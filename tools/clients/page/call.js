// A call without a user interface: mediasoup-client as it is, every choice of a publisher in the hands of the test, and what
// is received in elements with `data-user` and `data-source`, as in the web client.

import { Device } from 'mediasoup-client';
import { Signaling } from '../../web/src/signaling';
import { Viewer } from './viewer.js';

export class Call {
  /** What is received: each with its elements, its consumer, and the moments of its beginning. */
  streams = new Map();
  /** What the service would not let this browser receive: the stream and the code of the refusal. */
  refused = [];
  /** What was told of each other user's state. */
  states = {};
  /** What is sent, by source. */
  producers = new Map();
  /** When the room was entered, by the clock of `performance.now()`. */
  joinedAt = null;

  #signaling;
  #device;
  #sendTransport;
  #receiveTransport;

  /** Enters a room and receives everything in it from then on. */
  async join({ url, token, room }) {
    const signaling = new Signaling(url, token);
    this.#signaling = signaling;
    const { rtpCapabilities } = await signaling.greeted;
    this.#device = await Device.factory(isSecureContext ? {} : { handlerName: handlerName() });
    await this.#device.load({ routerRtpCapabilities: rtpCapabilities });
    const early = [];
    signaling.onPush = (push) => early.push({ push, at: performance.now() });
    await signaling.request('join', { channelId: room, rtpCapabilities: this.#device.recvRtpCapabilities });
    this.joinedAt = performance.now();
    [this.#sendTransport, this.#receiveTransport] = await Promise.all([
      this.#createTransport('send'),
      this.#createTransport('recv'),
    ]);
    signaling.onPush = (push) => this.#onPush(push, performance.now());
    for (const { push, at } of early) this.#onPush(push, at);
  }

  /** Everything ends, as when the button is pressed. */
  leave() {
    for (const producerId of [...this.streams.keys()]) this.#drop(producerId);
    this.#sendTransport.close();
    this.#receiveTransport.close();
    this.#signaling.close();
  }

  /** The MIME types of what this browser can send, video only, as `produce` wants to hear them. */
  sendable() {
    return codecsOf(this.#device.sendRtpCapabilities);
  }

  /** The same of what it can receive. */
  receivable() {
    return codecsOf(this.#device.recvRtpCapabilities);
  }

  /**
   * Sends a track. `codec` is a MIME type, else the first that both sides know is taken; `encodings` as mediasoup-client has
   * them. Gives the time at which the service had it.
   */
  async publish({ source, track, codec, encodings }) {
    const codecs = this.#device.sendRtpCapabilities.codecs;
    const chosen = codec && codecs.find(({ mimeType }) => mimeType.toLowerCase() === codec.toLowerCase());
    if (codec && !chosen) throw new Error(`this browser does not send ${codec}`);
    const producer = await this.#sendTransport.produce({
      track,
      codec: chosen,
      encodings,
      codecOptions: track.kind === 'audio' ? { opusStereo: true, opusDtx: false } : { videoGoogleStartBitrate: 1000 },
      stopTracks: false,
      appData: { source },
    });
    this.producers.set(source, producer);
    return performance.now();
  }

  async unpublish(source) {
    const producer = this.producers.get(source);
    this.producers.delete(source);
    producer.close();
    await this.request('closeProducer', { producerId: producer.id });
  }

  async pause(source) {
    const producer = this.producers.get(source);
    await this.request('pauseProducer', { producerId: producer.id });
    producer.pause();
  }

  async resume(source) {
    const producer = this.producers.get(source);
    producer.resume();
    await this.request('resumeProducer', { producerId: producer.id });
  }

  /** Sends another track in the place of the one that is sent. */
  replace(source, track) {
    return this.producers.get(source).replaceTrack({ track });
  }

  request(type, fields) {
    return this.#signaling.request(type, fields);
  }

  /** The stream of a user, or undefined. */
  stream(userId, source) {
    return [...this.streams.values()].find((stream) => stream.userId === userId && stream.source === source);
  }

  #onPush(push, at) {
    if (push.type === 'newProducer') void this.#receive(push, at).catch((error) => this.#onRefusal(push, error));
    if (push.type === 'userStateUpdate') this.states[push.userId] = push;
    if (push.type === 'producerClosed') this.#drop(push.producerId);
    if (push.type === 'userLeft') {
      for (const { userId, producerId } of [...this.streams.values()]) if (userId === push.userId) this.#drop(producerId);
    }
  }

  async #receive({ producerId, userId, source, kind }, announcedAt) {
    const stream = { producerId, userId, source, kind, announcedAt, resumedAt: null };
    this.streams.set(producerId, stream);
    const { consumerId, rtpParameters } = await this.request('consume', { producerId });
    stream.consumer = await this.#receiveTransport.consume({
      id: consumerId,
      producerId,
      kind,
      rtpParameters,
      // Streams with the same id are played in step; a screen is not held back for a camera.
      streamId: source.startsWith('screen') ? `${userId}-screen` : userId,
    });
    if (!this.streams.has(producerId)) return stream.consumer.close();
    stream.element = document.createElement(kind);
    Object.assign(stream.element.dataset, { user: userId, source });
    Object.assign(stream.element, { autoplay: true, muted: kind === 'video', srcObject: new MediaStream([stream.consumer.track]) });
    document.body.append(stream.element);
    if (kind === 'video') stream.viewer = new Viewer(stream.element);
    stream.resumedAt = performance.now();
    await this.request('resumeConsumer', { consumerId });
  }

  #onRefusal({ producerId, userId, source }, error) {
    this.#drop(producerId);
    // A stream may end while it is asked for; whatever is no refusal is a fault of this page.
    if (error.name === 'RequestRefused') this.refused.push({ userId, source, code: error.code });
    else console.error(error);
  }

  #drop(producerId) {
    const stream = this.streams.get(producerId);
    this.streams.delete(producerId);
    stream?.consumer?.close();
    if (!stream?.element) return;
    stream.element.srcObject = null;
    stream.element.remove();
  }

  async #createTransport(direction) {
    const { transportId, iceParameters, iceCandidates, dtlsParameters, iceServers } = await this.request('createTransport', {
      direction,
    });
    const options = { id: transportId, iceParameters, iceCandidates, dtlsParameters, iceServers };
    const transport =
      direction === 'send' ? this.#device.createSendTransport(options) : this.#device.createRecvTransport(options);
    transport.on('connect', ({ dtlsParameters: own }, done, fail) => {
      this.request('connectTransport', { transportId, dtlsParameters: own }).then(done, fail);
    });
    transport.on('produce', ({ kind, rtpParameters, appData }, done, fail) => {
      this.request('produce', { transportId, kind, rtpParameters, source: appData.source })
        .then(({ producerId }) => done({ id: producerId }), fail);
    });
    return transport;
  }
}

/** Pages of another machine without TLS are not told what the browser is; mediasoup-client's names of the newest ones. */
function handlerName() {
  return navigator.userAgent.includes('Firefox') ? 'Firefox120' : 'Chrome111';
}

function codecsOf({ codecs }) {
  const types = codecs.filter(({ kind }) => kind === 'video').map(({ mimeType }) => mimeType.toLowerCase());
  return [...new Set(types)].filter((type) => type !== 'video/rtx');
}
