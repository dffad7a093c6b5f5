// One connection to the service: requests with their answers, pushes in the order of their arrival, and the end.
// Whether to come back after the end is decided elsewhere.

import type { RtpCapabilities } from 'mediasoup-client/types';
import type { ErrorAnswer, Push, Requests } from './protocol';

/** A request that the service refused. */
export class RequestRefused extends Error {
  constructor(
    readonly request: string,
    readonly code: string,
    message: string,
  ) {
    super(message);
    this.name = 'RequestRefused';
  }
}

/** The connection ended, or could not be made. */
export class ConnectionEnded extends Error {
  constructor(
    readonly code: number,
    readonly reason: string,
    readonly retryAfterMs: number | undefined,
    /** Whether the connection had ever been open. */
    readonly opened: boolean,
  ) {
    super(`the connection ended with ${code} ${reason}`);
    this.name = 'ConnectionEnded';
  }
}

/** What the service says before anything is asked of it. */
export interface Greeting {
  userId: string;
  rtpCapabilities: RtpCapabilities;
}

interface Waiting {
  resolve: (answer: never) => void;
  reject: (error: Error) => void;
}

/** How long the service may take to accept a connection before it counts as gone. */
const OPEN_TIMEOUT_MS = 10_000;

export class Signaling {
  /** Called for each push. */
  onPush: (push: Push) => void = () => {};
  /** Called once, when the connection has ended without being closed from here. */
  onEnd: (end: ConnectionEnded) => void = () => {};
  /** Resolves once the service has greeted; rejects with `ConnectionEnded` where it does not. */
  readonly greeted: Promise<Greeting>;

  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, Waiting>();
  readonly #greeting: Partial<Greeting> = {};
  #resolveGreeted: (greeting: Greeting) => void = () => {};
  #rejectGreeted: (error: ConnectionEnded) => void = () => {};
  #nextId = 1;
  #opened = false;
  #ended: ConnectionEnded | null = null;

  constructor(url: string, token: string) {
    this.greeted = new Promise((resolve, reject) => {
      this.#resolveGreeted = resolve;
      this.#rejectGreeted = reject;
    });
    // Whoever waits for it gets the rejection; nobody may be waiting any more.
    this.greeted.catch(() => {});
    this.#socket = new WebSocket(url, ['voice.v1', `bearer.${token}`]);
    const openTimer = setTimeout(() => this.#end(new ConnectionEnded(1006, '', undefined, false)), OPEN_TIMEOUT_MS);
    this.#socket.onopen = () => {
      clearTimeout(openTimer);
      this.#opened = true;
    };
    this.#socket.onmessage = (event) => this.#onFrame(String(event.data));
    this.#socket.onclose = (event) => {
      clearTimeout(openTimer);
      const { reason, retryAfterMs } = readCloseReason(event.reason);
      this.#end(new ConnectionEnded(event.code, reason, retryAfterMs, this.#opened));
    };
  }

  /** Sends a request and resolves with its answer. Rejects with `RequestRefused` or `ConnectionEnded`. */
  request<Type extends keyof Requests>(type: Type, fields: Requests[Type]['fields']): Promise<Requests[Type]['answer']> {
    if (this.#ended) return Promise.reject(this.#ended);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as Waiting['resolve'], reject });
      this.#socket.send(JSON.stringify({ ...fields, type, id }));
    });
  }

  /** Ends the connection for good; the service takes it as leaving. `onEnd` is not called. */
  close(): void {
    this.onEnd = () => {};
    this.#end(new ConnectionEnded(1000, 'closed here', undefined, this.#opened));
  }

  #onFrame(text: string): void {
    if (this.#ended) return;
    const message = JSON.parse(text) as { type: string; id?: number };
    const waiting = message.id === undefined ? undefined : this.#waiting.get(message.id);
    if (waiting && message.id !== undefined) {
      this.#waiting.delete(message.id);
      if (message.type === 'error') {
        const refusal = message as unknown as ErrorAnswer;
        waiting.reject(new RequestRefused(refusal.request ?? '', refusal.code, refusal.message));
      } else {
        waiting.resolve(message as never);
      }
    } else {
      this.#onPushed(message as unknown as Push);
    }
  }

  #onPushed(push: Push): void {
    if (push.type === 'connected') this.#greeting.userId = push.userId;
    if (push.type === 'routerCapabilities') this.#greeting.rtpCapabilities = push.rtpCapabilities;
    const { userId, rtpCapabilities } = this.#greeting;
    if (userId !== undefined && rtpCapabilities) this.#resolveGreeted({ userId, rtpCapabilities });
    this.onPush(push);
  }

  #end(end: ConnectionEnded): void {
    if (this.#ended) return;
    this.#ended = end;
    for (const { reject } of this.#waiting.values()) reject(end);
    this.#waiting.clear();
    this.#rejectGreeted(end);
    this.#socket.close(1000);
    this.onEnd(end);
  }
}

/** The service's close reasons are JSON; anything else, a proxy's words for example, is passed on as it is. */
function readCloseReason(text: string): { reason: string; retryAfterMs?: number } {
  try {
    const { reason, retryAfterMs } = JSON.parse(text) as { reason?: unknown; retryAfterMs?: unknown };
    return {
      reason: typeof reason === 'string' ? reason : '',
      ...(typeof retryAfterMs === 'number' ? { retryAfterMs } : {}),
    };
  } catch {
    return { reason: text };
  }
}
