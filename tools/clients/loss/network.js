// A network on this machine that loses packets: the callers in one namespace, the service in another, and between them a
// router that drops each packet with the same chance, both ways. Needs root, `ip`, `nft` and `ethtool`.
//
// It is the loss that `tc netem loss` makes, by a rule of nftables: kernels of virtual machines often come without netem.
// Packets that the service hands to its network as one message (UDP_SEGMENT) are taken apart before they reach the router,
// as a network card does it, so that each is lost by itself.

import { execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Addresses for tests of networks (RFC 2544): they are nobody's. */
const CALLERS = { address: '198.18.1.2', router: '198.18.1.1' };
const SERVICE = { address: '198.18.2.2', router: '198.18.2.1' };
const PREFIX_LENGTH = 24;
/** The variable that tells a script inside what is around it. */
const NAMES = 'VOICE_NETWORK';
/** Losses are told in thousandths. */
const PARTS = 1_000;

export class LossyNetwork {
  /** The address that the service is to be reached at. */
  serviceAddress = SERVICE.address;

  #names;

  /** Makes it, with no loss yet. */
  static async open() {
    const network = new LossyNetwork();
    const [callers, router, service] = ['callers', 'router', 'service'].map((name) => `voice-${name}-${process.pid}`);
    network.#names = { callers, router, service };
    try {
      for (const name of [callers, router, service]) await ip('netns', 'add', name);
      await network.#connect(callers, CALLERS, 'left');
      await network.#connect(service, SERVICE, 'right');
      await inside(router, 'sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward');
      await inside(router, 'nft', 'add table ip loss; add chain ip loss way { type filter hook forward priority 0; }');
    } catch (error) {
      await network.close();
      throw error;
    }
    return network;
  }

  /** From now on each packet is lost with this chance, in per cent, to a tenth. */
  async lose(percent) {
    const parts = Math.round((percent / 100) * PARTS);
    const rules = [`numgen random mod ${PARTS} < ${parts} counter drop`, 'counter'].map((rule) => `add rule ip loss way ${rule}`);
    await inside(this.#names.router, 'nft', ['flush chain ip loss way', ...rules].join('; '));
  }

  /** How many packets were lost, and how many came through, since `lose`. */
  async counts() {
    const { stdout } = await inside(this.#names.router, 'nft', 'list chain ip loss way');
    const [lost, passed] = [...stdout.matchAll(/counter packets (\d+)/g)].map(([, packets]) => Number(packets));
    return { lost, passed };
  }

  /** The command that runs a program where the service is. */
  get serviceCommand() {
    return ['ip', 'netns', 'exec', this.#names.service];
  }

  /** Runs a Node script where the callers are; it gets this network by `LossyNetwork.around`. Gives what it printed. */
  async runScript(...args) {
    const env = { ...process.env, [NAMES]: JSON.stringify(this.#names) };
    const command = ['netns', 'exec', this.#names.callers, process.execPath, ...args];
    const child = spawn('ip', command, { stdio: ['ignore', 'pipe', 'inherit'], env });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text) => (output += text));
    const code = await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve));
    if (code !== 0) throw new Error(`${args[0]} ended with ${code}: ${output}`);
    return output;
  }

  /** The network that this program runs in. */
  static around() {
    const network = new LossyNetwork();
    network.#names = JSON.parse(process.env[NAMES]);
    return network;
  }

  async close() {
    for (const name of Object.values(this.#names)) await ip('netns', 'del', name).catch(() => {});
  }

  /** A wire between a namespace and the router, and the way to the rest of the network. */
  async #connect(name, { address, router }, side) {
    await ip('link', 'add', 'wire', 'netns', name, 'type', 'veth', 'peer', 'name', side, 'netns', this.#names.router);
    await ip('-n', name, 'addr', 'add', `${address}/${PREFIX_LENGTH}`, 'dev', 'wire');
    await ip('-n', this.#names.router, 'addr', 'add', `${router}/${PREFIX_LENGTH}`, 'dev', side);
    for (const [place, device] of [[name, 'lo'], [name, 'wire'], [this.#names.router, side]]) await ip('-n', place, 'link', 'set', device, 'up');
    await ip('-n', name, 'route', 'add', 'default', 'via', router);
    await inside(name, 'ethtool', '-K', 'wire', 'tx-udp-segmentation', 'off', 'gso', 'off', 'tso', 'off');
  }
}

function ip(...args) {
  return run('ip', args);
}

function inside(name, ...command) {
  return run('ip', ['netns', 'exec', name, ...command]);
}
