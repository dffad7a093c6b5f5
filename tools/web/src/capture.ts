// Opens what this user sends: the microphone, the camera, the screen; or says why it can't be had.
// A call goes on without.

import { SCREEN_FRAME_RATE_MAX_HZ } from './encodings';
import type { Source } from './protocol';

/** What a user opens and closes. The sound of a screen comes and goes with its picture. */
export type CaptureSource = Exclude<Source, 'screenAudio'>;

/** Why nothing of a source is sent. */
export type CaptureFault = 'denied' | 'missing' | 'busy' | 'insecure' | 'unsupported' | 'forbidden' | 'failed';

/** What was opened, the picture of a screen before its sound. */
export type Capture = [MediaStreamTrack, ...MediaStreamTrack[]];

const MICROPHONE: MediaTrackConstraints = {
  echoCancellation: true,
  noiseSuppression: true,
  autoGainControl: true,
  channelCount: { ideal: 2 },
  sampleRate: { ideal: 48_000 },
};

/** The largest picture that the service is made for. A camera that has less gives what it has. */
const CAMERA: MediaTrackConstraints = {
  width: { ideal: 1920 },
  height: { ideal: 1080 },
  frameRate: { ideal: 30 },
  facingMode: 'user',
};

/** What is heard of a screen is passed on as it is; cleaning is for voices. */
const SCREEN_SOUND: MediaTrackConstraints = {
  echoCancellation: false,
  noiseSuppression: false,
  autoGainControl: false,
  channelCount: { ideal: 2 },
};

/** What browsers take beside the tracks, where they know it: the call's own tab would show itself without end. */
interface ScreenOptions extends DisplayMediaStreamOptions {
  selfBrowserSurface?: 'exclude' | 'include';
  systemAudio?: 'exclude' | 'include';
  surfaceSwitching?: 'exclude' | 'include';
}

const SCREEN: ScreenOptions = {
  video: { frameRate: { ideal: SCREEN_FRAME_RATE_MAX_HZ, max: SCREEN_FRAME_RATE_MAX_HZ } },
  audio: SCREEN_SOUND,
  selfBrowserSurface: 'exclude',
  systemAudio: 'include',
  surfaceSwitching: 'include',
};

/** Browsers on phones share no screen. On an insecure page nobody can tell. */
export function isScreenShareKnown(): boolean {
  return !navigator.mediaDevices || 'getDisplayMedia' in navigator.mediaDevices;
}

/** Opens a source, or says why it can't be had. A screen is to be opened from a click. */
export async function openCapture(source: CaptureSource): Promise<Capture | CaptureFault> {
  // Browsers hide the interface on pages that are neither https nor loopback.
  const { mediaDevices } = navigator;
  if (!mediaDevices) return 'insecure';
  if (source === 'screen' && !isScreenShareKnown()) return 'unsupported';
  try {
    const stream = await request(mediaDevices, source);
    const sound = source === 'camera' ? [] : stream.getAudioTracks();
    const [first, ...others] = source === 'mic' ? sound : [...stream.getVideoTracks(), ...sound];
    if (!first) {
      for (const track of stream.getTracks()) track.stop();
      return 'missing';
    }
    // Tells the encoder to give up frames before it gives up letters.
    if (source === 'screen') first.contentHint = 'detail';
    return [first, ...others];
  } catch (error) {
    return faultOf(error);
  }
}

function request(mediaDevices: MediaDevices, source: CaptureSource): Promise<MediaStream> {
  switch (source) {
    case 'mic':
      return mediaDevices.getUserMedia({ audio: MICROPHONE });
    case 'camera':
      return mediaDevices.getUserMedia({ video: CAMERA });
    case 'screen':
      return mediaDevices.getDisplayMedia(SCREEN);
  }
}

function faultOf(error: unknown): CaptureFault {
  switch (error instanceof DOMException ? error.name : '') {
    case 'NotAllowedError':
    case 'SecurityError':
      return 'denied';
    case 'NotFoundError':
    case 'OverconstrainedError':
      return 'missing';
    case 'NotReadableError':
    case 'AbortError':
      return 'busy';
    default:
      return 'failed';
  }
}
