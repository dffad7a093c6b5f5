// How what is sent is to be encoded: the settings that come with `joined`, turned into what mediasoup-client takes.

import type { ProducerCodecOptions, RtpEncodingParameters } from 'mediasoup-client/types';
import type { LayerSettings, OpusSettings } from './protocol';

/**
 * How the layers of a camera travel: each as an encoding of its own; all within one encoding; or the highest alone, with
 * or without layers in time.
 */
export type Ladder = 'simulcast' | 'svc' | 'temporal' | 'single';

/**
 * The service lets a screen have 4 Mbit/s. An eighth is left to packet headers and to what is sent again, so that the
 * encoder is not held back just when a page full of text changes.
 */
const SCREEN_BITRATE_MAX_BPS = 3_500_000;
/** A scrolled page is smooth at this rate, and a film that someone shows keeps its own. */
export const SCREEN_FRAME_RATE_MAX_HZ = 30;
/** Where an encoder begins before anything is known of the line: a first picture that can be read, within a second. */
const START_BITRATE_KBPS = 1_000;
/** Three spatial layers; a higher one needs the lower ones only in key frames, so it can be taken up there alone. */
const SVC_MODE = 'L3T3_KEY';

/** VP9 and AV1 carry their layers within one encoding, where the browser lets a page ask for that. */
export function ladderOf(mimeType: string, isSvcKnown: boolean): Ladder {
  switch (mimeType.toLowerCase()) {
    case 'video/vp9':
      return isSvcKnown ? 'svc' : 'single';
    case 'video/av1':
      // A receiver tells AV1's spatial layers apart by the dependency descriptor alone, and is sent none.
      return isSvcKnown ? 'temporal' : 'single';
    default:
      return 'simulcast';
  }
}

/** The encodings of a camera, lowest first. Each step of the ladder is half as high as the one above it. */
export function cameraEncodings(layers: LayerSettings[], ladder: Ladder): RtpEncodingParameters[] {
  const highest = layers.at(-1);
  if (!highest) return [{}];
  const scalabilityMode = temporalModeOf(layers);
  if (ladder === 'single') return [limits(highest)];
  if (ladder === 'temporal') return [{ ...limits(highest), scalabilityMode }];
  if (ladder === 'svc') {
    const maxBitrate = layers.reduce((sum, layer) => sum + (layer.maxBitrate ?? 0), 0);
    return [{ ...limits({ ...highest, maxBitrate }), scalabilityMode: SVC_MODE }];
  }
  return layers.map((layer, step) => ({
    ...limits(layer),
    scaleResolutionDownBy: 2 ** (layers.length - 1 - step),
    // Browsers encode all layers of one camera with the same temporal structure.
    scalabilityMode,
  }));
}

/** A screen is one encoding: its text can't be read at half the size. */
export function screenEncodings(): RtpEncodingParameters[] {
  return [{ maxBitrate: SCREEN_BITRATE_MAX_BPS, maxFramerate: SCREEN_FRAME_RATE_MAX_HZ }];
}

export function videoOptions(): ProducerCodecOptions {
  return { videoGoogleStartBitrate: START_BITRATE_KBPS };
}

/** A microphone is sent as the settings say. */
export function voiceOptions(opus: OpusSettings): ProducerCodecOptions {
  return {
    opusStereo: opus.stereo !== 0,
    opusFec: opus.useinbandfec !== 0,
    opusDtx: opus.usedtx !== 0,
    ...(opus.maxplaybackrate ? { opusMaxPlaybackRate: opus.maxplaybackrate } : {}),
    ...(opus.maxaveragebitrate ? { opusMaxAverageBitrate: opus.maxaveragebitrate } : {}),
  };
}

/** The sound of a screen may be music, whose quiet passages are no pauses: nothing is left out. */
export function screenSoundOptions(opus: OpusSettings): ProducerCodecOptions {
  return { ...voiceOptions(opus), opusDtx: false };
}

function limits({ maxBitrate, maxFramerate }: LayerSettings): RtpEncodingParameters {
  return { ...(maxBitrate ? { maxBitrate } : {}), ...(maxFramerate ? { maxFramerate } : {}) };
}

/** The mode with the most temporal layers that any layer asks for. */
function temporalModeOf(layers: LayerSettings[]): string {
  const counts = layers.map(({ scalabilityMode = '' }) => Number(/^L1T([1-3])$/.exec(scalabilityMode)?.[1] ?? 1));
  return `L1T${Math.max(...counts)}`;
}
