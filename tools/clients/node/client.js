// Someone in a room with the unmodified mediasoup-client, whose WebRTC is faked.

import { FakeMediaStreamTrack } from 'fake-mediastreamtrack';
import { Device } from 'mediasoup-client';
import * as fakeParameters from 'mediasoup-client/fakeParameters';
import { FakeHandler } from 'mediasoup-client/handlers/FakeHandler';
import { Signaling } from '../signaling.js';

/** A browser's capabilities as mediasoup-client's own tests have them. */
const nativeParameters = {
  generateNativeRtpCapabilities: fakeParameters.generateNativeRtpCapabilities,
  generateLocalDtlsParameters: fakeParameters.generateLocalDtlsParameters,
};

export class Client {
  /** What the service calls each of the client's own streams, by id. */
  sources = new Map();

  /** Joins with a loaded device and makes both transports. */
  static async join(
    service,
    userId,
    channelId,
    { changeCapabilities = (capabilities) => capabilities, permissions = undefined } = {},
  ) {
    const client = new Client();
    client.userId = userId;
    client.signaling = await Signaling.connect(service, service.token(userId, { permissions }));
    client.device = new Device({ handlerFactory: FakeHandler.createFactory(nativeParameters) });
    await client.device.load({ routerRtpCapabilities: client.signaling.routerRtpCapabilities });
    client.joined = await client.signaling.request('join', {
      channelId,
      rtpCapabilities: changeCapabilities(structuredClone(client.device.recvRtpCapabilities)),
    });
    client.sendTransport = await client.#createTransport('send');
    client.receiveTransport = await client.#createTransport('recv');
    return client;
  }

  async #createTransport(direction) {
    const { transportId, iceParameters, iceCandidates, dtlsParameters, iceServers } = await this.signaling.request(
      'createTransport',
      { direction },
    );
    const options = { id: transportId, iceParameters, iceCandidates, dtlsParameters, iceServers };
    const transport =
      direction === 'send' ? this.device.createSendTransport(options) : this.device.createRecvTransport(options);
    transport.on('connect', ({ dtlsParameters: own }, done, fail) => {
      this.signaling.request('connectTransport', { transportId, dtlsParameters: own }).then(done, fail);
    });
    transport.on('produce', ({ kind, rtpParameters, appData: { source } }, done, fail) => {
      this.signaling.request('produce', { transportId, kind, rtpParameters, source }).then((produced) => {
        this.sources.set(produced.producerId, produced.source);
        done({ id: produced.producerId });
      }, fail);
    });
    return transport;
  }

  /** Sends a stream; what it is may be left to the service. */
  produce(kind, { source, ...options } = {}) {
    return this.sendTransport.produce({
      track: new FakeMediaStreamTrack({ kind }),
      codecOptions: kind === 'audio' ? { opusStereo: true, opusDtx: true, opusFec: true } : undefined,
      appData: { source },
      ...options,
    });
  }

  /** Receives a stream, and lets it flow. */
  async consume(producerId) {
    const consumed = await this.signaling.request('consume', { producerId });
    const { consumerId, kind, rtpParameters } = consumed;
    const consumer = await this.receiveTransport.consume({ id: consumerId, producerId, kind, rtpParameters });
    await this.signaling.request('resumeConsumer', { consumerId });
    return Object.assign(consumer, { consumed });
  }

  close() {
    return this.signaling.close();
  }
}

/** The code that a request is refused with. */
export async function refusalOf(promise) {
  return promise.then(
    () => 'none',
    (error) => error.code,
  );
}
