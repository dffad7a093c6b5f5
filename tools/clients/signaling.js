// The signaling protocol, bare: for what a test says to the service itself.

import WebSocket from 'ws';

/** A request that the service refused. */
export class RequestRefused extends Error {
  constructor({ code, message, request }) {
    super(`${request}: ${code}: ${message}`);
    this.code = code;
  }
}

export class Signaling {
  /** Everything that came without an id, in the order of its coming. */
  pushes = [];
  #socket;
  #waiting = new Map();
  #listeners = new Set();
  #nextId = 1;

  /** Connects and waits for the greeting. Rejects with the HTTP status where the upgrade is refused. */
  static async connect(service, token) {
    const signaling = new Signaling();
    await signaling.#open(`ws://127.0.0.1:${service.port}/signaling`, token);
    const { rtpCapabilities } = await signaling.push('routerCapabilities');
    signaling.routerRtpCapabilities = rtpCapabilities;
    return signaling;
  }

  #open(url, token) {
    this.#socket = new WebSocket(url, ['voice.v1', `bearer.${token}`]);
    this.closed = new Promise((resolve) => this.#socket.on('close', (code, reason) => resolve({ code, reason: String(reason) })));
    this.#socket.on('message', (data) => this.#onMessage(JSON.parse(String(data))));
    return new Promise((resolve, reject) => {
      this.#socket.once('open', resolve).on('error', reject);
      this.#socket.once('unexpected-response', (_, { statusCode }) => reject(new Error(`HTTP ${statusCode}`)));
    });
  }

  request(type, fields = {}) {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#socket.send(JSON.stringify({ type, id, ...fields }));
    });
  }

  /** The first push of a type that fits, past or to come; each is given once. */
  push(type, fits = () => true) {
    return new Promise((resolve) => {
      const look = () => {
        const place = this.pushes.findIndex((push) => push.type === type && fits(push));
        if (place < 0) return;
        this.#listeners.delete(look);
        resolve(this.pushes.splice(place, 1)[0]);
      };
      this.#listeners.add(look);
      look();
    });
  }

  /** Leaves, as a client does that ends its connection properly. */
  async close() {
    this.#socket.close(1000);
    return this.closed;
  }

  #onMessage(message) {
    const waiting = this.#waiting.get(message.id);
    if (waiting) {
      this.#waiting.delete(message.id);
      if (message.type === 'error') waiting.reject(new RequestRefused(message));
      else waiting.resolve(message);
      return;
    }
    this.pushes.push(message);
    for (const look of [...this.#listeners]) look();
  }
}
