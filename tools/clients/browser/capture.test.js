// A call of real browsers is recorded as a native participant hears it, and the load tool plays it to a room of its own.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { scenario } from '../scenario.js';

const VOICE_LOAD = process.env.VOICE_LOAD ?? fileURLToPath(new URL('../../../target/release/voice-load', import.meta.url));
/** Where the capture is kept, for other runs of the load tool; without it the test leaves none. */
const KEPT = process.env.VOICE_CAPTURE;
const ROOM = 'studio';
const RECORDED_SECONDS = 6;
/** Opus packets of 20 ms; the first and the last second may be cut. */
const PACKETS_MIN = (RECORDED_SECONDS - 2) * 50;

scenario('a call is recorded, described and played again', {}, async (stage) => {
  const alice = await stage.call('alice', ROOM);
  const bob = await stage.call('bob', ROOM, 'firefox');
  for (const person of [alice, bob]) {
    await person.play();
    await person.show();
  }
  await alice.hears(bob);
  await bob.hears(alice);
  const folder = await mkdtemp(path.join(tmpdir(), 'voice-capture-'));
  try {
    const file = KEPT ?? path.join(folder, 'call.pcap');
    const target = ['--url', stage.service.url('/signaling').replace('http', 'ws'), '--secret-file', stage.service.secretFile];
    await voiceLoad(['record', ...target, '--channel', ROOM, '--duration', `${RECORDED_SECONDS}s`, '--out', file]);

    const streams = JSON.parse(await voiceLoad(['inspect', file, '--json']));
    const voices = streams.filter(({ codec }) => codec === 'opus');
    assert.equal(voices.length, 2, JSON.stringify(streams));
    for (const { packets, lost, clockRateHz, looksEncrypted } of voices) {
      assert.ok(packets >= PACKETS_MIN, `${packets} packets`);
      assert.deepEqual({ lost, clockRateHz, looksEncrypted: looksEncrypted ?? false }, { lost: 0, clockRateHz: 48_000, looksEncrypted: false });
    }
    const cameras = streams.filter(({ codec, retransmitsSsrc }) => codec === 'VP8' && !retransmitsSsrc);
    assert.equal(cameras.length, 2, JSON.stringify(streams));

    const crowd = ['--rooms', '2', '--participants', '3', '--video', '1', '--duration', '4s', '--verify', '1'];
    const report = JSON.parse(await voiceLoad(['run', ...target, ...crowd, '--capture', file, '--json', '-', '--quiet']));
    const { audio, video } = report.media;
    assert.deepEqual([audio.streams, video.streams], [12, 4], 'each hears two others; two see one');
    assert.deepEqual([audio.lost, video.lost, report.media.stalledStreams], [0, 0, 0]);
    assert.ok(report.media.checked >= 12 * 4 * 40, `${report.media.checked} packets were compared with what was sent`);
  } finally {
    await rm(folder, { recursive: true });
  }
});

/** Runs the load tool and gives what it printed; a busy machine may make a run invalid, which the figures above tell apart. */
async function voiceLoad(args) {
  try {
    return (await promisify(execFile)(VOICE_LOAD, args)).stdout;
  } catch (error) {
    const INVALID = 3;
    if (error.code === INVALID) return error.stdout;
    throw new Error(`voice-load ${args.join(' ')}: ${error.stderr || error}; build it first: cargo build --release -p load`);
  }
}
