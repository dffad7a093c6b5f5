// The service under test: the release binary on free ports of loopback, with tokens and metrics.

import { spawn } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually } from './eventually.js';

const BINARY = process.env.VOICE_SERVICE ?? fileURLToPath(new URL('../../target/release/voice-service', import.meta.url));

/** Media ports below the kernel's ephemeral range, where no other program's socket turns up by chance. */
const RTC_PORT_FIRST = 20_000;
const RTC_PORTS = 200;

/** Permission bits of a token. */
export const CONNECT = 1 << 20;
export const SPEAK = 1 << 21;
export const STREAM = 1 << 9;

export class Service {
  #child;
  #folder;
  #secret;
  #log = [];
  #isOver = false;

  #secretFile;
  #shards;
  #address;
  #command;

  /**
   * Starts it and waits until it takes calls. `address` is its only one; `command` is what its program is run by, a command
   * that takes it into another network for example.
   */
  static async start({ shards = 1, address = '127.0.0.1', command = [] } = {}) {
    const service = new Service();
    service.port = await freePort();
    service.#shards = shards;
    service.#address = address;
    service.#command = command;
    service.#secret = randomBytes(32).toString('hex');
    service.#folder = await mkdtemp(path.join(tmpdir(), 'voice-'));
    service.#secretFile = path.join(service.#folder, 'secret');
    await writeFile(service.#secretFile, service.#secret, { mode: 0o600 });
    await service.launch();
    return service;
  }

  /** Starts it, again where it was ended before, on the same port and with the same secret. */
  async launch() {
    const flags = {
      port: this.port,
      shards: this.#shards,
      'jwt-secret-file': this.#secretFile,
      permissions: 'token',
      'public-ip': this.#address,
      'http-ip': this.#address,
      'listen-ip': this.#address,
      'rtc-min-port': RTC_PORT_FIRST,
      'rtc-max-port': RTC_PORT_FIRST + RTC_PORTS - 1,
    };
    const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
    this.#isOver = false;
    const [program, ...before] = [...this.#command, BINARY];
    this.#child = spawn(program, [...before, ...args], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, RUST_LOG: 'info' } });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => this.#log.push(text));
    }
    this.#child.on('error', (error) => {
      this.#isOver = true;
      this.#log.push(`${error}; build it first: cargo build --release\n`);
    });
    this.#child.on('close', (code, signal) => {
      this.#isOver = true;
      this.#log.push(`ended with ${signal ?? code}\n`);
    });
    await eventually('the service takes calls', async () => this.#isOver || (await fetch(this.url('/readyz'))).ok);
    if (this.#isOver) throw new Error(`the service did not start:\n${this.log}`);
  }

  /** The file that holds what its tokens are signed with. */
  get secretFile() {
    return this.#secretFile;
  }

  /** What it has printed. */
  get log() {
    return this.#log.join('');
  }

  url(pathname) {
    return `http://${this.#address}:${this.port}${pathname}`;
  }

  /** The page's address for a room and a token. */
  link(room, token) {
    return this.url(`/#${new URLSearchParams({ room, token })}`);
  }

  /** Signs a token; `claims` may replace any claim. */
  token(userId, { permissions = CONNECT | SPEAK | STREAM, ...claims } = {}) {
    const expiry = Math.floor(Date.now() / 1000) + 3600;
    const payload = { userId, permissions: String(permissions), exp: expiry, ...claims };
    const signed = [{ alg: 'HS256', typ: 'JWT' }, payload]
      .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
      .join('.');
    return `${signed}.${createHmac('sha256', this.#secret).update(signed).digest('base64url')}`;
  }

  /** All samples of `/metrics`. */
  async metrics() {
    return new Metrics(await (await fetch(this.url('/metrics'))).text());
  }

  /** Ends it as an operator does (`SIGTERM`), or as a failing machine does (`SIGKILL`). */
  async end(signal = 'SIGTERM') {
    if (this.#isOver) return;
    this.#child.kill(signal);
    await eventually('the service ends', () => this.#isOver);
  }

  /** Ends it for good. */
  async stop() {
    await this.end();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** A reading of `/metrics`. */
export class Metrics {
  #samples = [];
  #kinds = new Map();

  constructor(text) {
    for (const line of text.split('\n')) {
      const kind = /^# TYPE (\S+) (\S+)/.exec(line);
      if (kind) this.#kinds.set(kind[1], kind[2]);
      const sample = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
      if (!sample) continue;
      const labels = Object.fromEntries([...(sample[2] ?? '').matchAll(/(\w+)="([^"]*)"/g)].map(([, key, value]) => [key, value]));
      this.#samples.push({ name: sample[1], labels, value: Number(sample[3]) });
    }
  }

  /** The sum of all samples of a name whose labels are these, among others. */
  sum(name, labels = {}) {
    return this.#samples
      .filter((sample) => sample.name === name)
      .filter((sample) => Object.entries(labels).every(([key, value]) => sample.labels[key] === value))
      .reduce((sum, { value }) => sum + value, 0);
  }

  /** Everything that can go down as well as up, by name and labels: what lives in the service. */
  gauges() {
    const gauges = this.#samples.filter(({ name }) => this.#kinds.get(name) === 'gauge');
    return Object.fromEntries(gauges.map(({ name, labels, value }) => [`${name} ${JSON.stringify(labels)}`, value]));
  }
}

async function freePort() {
  const server = createServer();
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}
