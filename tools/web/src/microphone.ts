// The microphone, or the reason why there is none. A call goes on without one.

/** Why nobody hears this user. */
export type MicrophoneFault = 'denied' | 'missing' | 'busy' | 'insecure' | 'forbidden' | 'failed';

/** Opens the default microphone, or says why it can't be had. */
export async function openMicrophone(): Promise<MediaStreamTrack | MicrophoneFault> {
  // Browsers hide the interface on pages that are neither https nor loopback.
  if (!navigator.mediaDevices?.getUserMedia) return 'insecure';
  try {
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: {
        echoCancellation: true,
        noiseSuppression: true,
        autoGainControl: true,
        channelCount: { ideal: 2 },
        sampleRate: { ideal: 48_000 },
      },
      video: false,
    });
    const [track] = stream.getAudioTracks();
    return track ?? 'missing';
  } catch (error) {
    return microphoneFault(error);
  }
}

function microphoneFault(error: unknown): MicrophoneFault {
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
