// A sound card for machines without one: Firefox runs no audio graph where there is nothing to play to. A PulseAudio of
// our own plays into nothing.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { eventually } from './eventually.js';

export class SoundCard {
  #child;
  #folder;

  static async start() {
    const card = new SoundCard();
    card.#folder = await mkdtemp(path.join(tmpdir(), 'voice-sound-'));
    const socket = path.join(card.#folder, 'socket');
    /** What a program's environment needs in order to find it. */
    card.environment = { PULSE_SERVER: `unix:${socket}` };
    const args = [
      '-n',
      '--daemonize=no',
      '--exit-idle-time=-1',
      '--use-pid-file=no',
      '--load=module-null-sink',
      `--load=module-native-protocol-unix auth-anonymous=1 socket=${socket}`,
    ];
    // Its own home, so that neither a user's settings nor a server that runs already has a part in it.
    const env = { ...process.env, HOME: card.#folder, XDG_RUNTIME_DIR: card.#folder };
    card.#child = spawn('pulseaudio', args, { stdio: 'ignore', env });
    let fault = null;
    card.#child.on('error', (error) => (fault = error)).on('exit', (code) => (fault ??= new Error(`it ended with ${code}`)));
    await eventually('PulseAudio listens', () => {
      if (fault) throw fault;
      return existsSync(socket);
    }, 10_000);
    return card;
  }

  async stop() {
    this.#child.kill('SIGTERM');
    await rm(this.#folder, { recursive: true, force: true });
  }
}
