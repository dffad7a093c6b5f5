// Calls of real browsers over a network that loses packets: measures them, and says it in a table.

import { fileURLToPath } from 'node:url';
import { LossyNetwork } from './network.js';

const CALL = fileURLToPath(new URL('call.js', import.meta.url));

/** Why nothing can be measured here, or null. */
export function obstacle() {
  return process.getuid() === 0 ? null : 'only root makes namespaces';
}

/** Measures one call for so many seconds at each loss, in per cent. */
export async function measureCall(losses, seconds) {
  const network = await LossyNetwork.open();
  try {
    const output = await network.runScript(CALL, seconds, ...losses);
    return output.trim().split('\n').map((line) => JSON.parse(line));
  } finally {
    await network.close();
  }
}

/** Of each publisher at each viewer: pictures a second, and how often and how long the picture stood. */
export function tableOf(measurements) {
  const head = ['loss', 'from', 'to', 'frames/s', 'freezes', 'frozen', 'longest gap', 'lost', 'repaired', 'NACKs', 'PLIs', 'jitter buffer'];
  const rows = measurements.flatMap(({ loss, ways }) =>
    ways.map(({ viewer, publisher, seen, seconds, counts }) => [
      `${loss} %`,
      publisher,
      viewer,
      (counts.framesDecoded / seconds).toFixed(1),
      counts.freezeCount ?? '–',
      counts.totalFreezesDuration === undefined ? '–' : `${counts.totalFreezesDuration.toFixed(1)} s`,
      `${Math.round(seen.gapMaxMs)} ms`,
      counts.packetsLost,
      counts.retransmittedPacketsReceived ?? '–',
      counts.nackCount ?? '–',
      counts.pliCount ?? '–',
      counts.jitterBufferEmittedCount ? `${Math.round((1000 * counts.jitterBufferDelay) / counts.jitterBufferEmittedCount)} ms` : '–',
    ]),
  );
  return [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
}
