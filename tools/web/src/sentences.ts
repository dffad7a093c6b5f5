// What a person is told: one plain sentence on what happened, one on what to do.

import type { CaptureFault, CaptureSource } from './capture';
import type { CallFault } from './fault';

export interface Sentence {
  title: string;
  text: string;
}

export const CALL_SENTENCES: Record<CallFault, Sentence> = {
  tokenMissing: {
    title: 'A token is needed to join.',
    text: 'Open the link that your service gave you: it carries the token. A service in development mode needs none.',
  },
  tokenRefused: {
    title: 'Your token was refused.',
    text: 'It may have expired, or belong to another service. Ask for a new link and open that.',
  },
  forbidden: {
    title: 'You are not allowed into this room.',
    text: 'Ask whoever runs it to let you in, or choose another room.',
  },
  takenOver: {
    title: 'You joined from somewhere else.',
    text: 'One person can be in one call at a time, so this one has ended. Join again to bring it back here.',
  },
  removed: { title: 'You were removed from the call.', text: 'A moderator of the room has ended your call.' },
  unavailable: { title: 'The service has no room for this call now.', text: 'Wait a moment, then join again.' },
  badRequest: {
    title: 'The service did not understand this page.',
    text: 'Reload it to get the current version, and check the name and the room.',
  },
  browser: {
    title: 'This browser cannot make calls.',
    text: 'Use a current Chromium, Chrome, Edge, Firefox or Safari.',
  },
  serviceGone: {
    title: 'The service does not answer.',
    text: 'Check your connection, then join again. Your microphone and your camera are off.',
  },
};

const MICROPHONE_SENTENCES: Record<CaptureFault, Sentence> = {
  denied: {
    title: 'Nobody can hear you: the browser was not allowed to use your microphone.',
    text: 'Allow it beside the address, then try again. You hear the others all the same.',
  },
  missing: {
    title: 'Nobody can hear you: there is no microphone.',
    text: 'Plug one in, then try again. You hear the others all the same.',
  },
  busy: {
    title: 'Nobody can hear you: another program is using your microphone.',
    text: 'Close that program, then try again. You hear the others all the same.',
  },
  insecure: {
    title: 'Nobody can hear you: browsers give pages a microphone only over https.',
    text: 'Open this page with an https address. You hear the others all the same.',
  },
  unsupported: {
    title: 'Nobody can hear you: this browser gives pages no microphone.',
    text: 'Use another browser to speak. You hear the others all the same.',
  },
  forbidden: {
    title: 'You may listen in this room, but not speak.',
    text: 'Ask whoever runs it for the right to speak, then join again.',
  },
  failed: {
    title: 'Nobody can hear you: the microphone could not be sent.',
    text: 'Try again. You hear the others all the same.',
  },
};

const CAMERA_SENTENCES: Record<CaptureFault, Sentence> = {
  denied: {
    title: 'Your camera is off: the browser was not allowed to use it.',
    text: 'Allow it beside the address, then try again. The call goes on without.',
  },
  missing: {
    title: 'Your camera is off: there is none.',
    text: 'Plug one in, then try again. The call goes on without.',
  },
  busy: {
    title: 'Your camera is off: another program is using it.',
    text: 'Close that program, then try again. The call goes on without.',
  },
  insecure: {
    title: 'Your camera is off: browsers give pages a camera only over https.',
    text: 'Open this page with an https address. The call goes on without.',
  },
  unsupported: {
    title: 'Your camera is off: this browser gives pages none.',
    text: 'Use another browser to be seen. The call goes on without.',
  },
  forbidden: {
    title: 'You may not show your camera in this room.',
    text: 'Ask whoever runs it for the right to show pictures, then join again.',
  },
  failed: {
    title: 'Your camera is off: its picture could not be sent.',
    text: 'Try again. The call goes on without.',
  },
};

const SCREEN_SENTENCES: Record<CaptureFault, Sentence> = {
  denied: {
    title: 'Your screen is not shared: the choice was cancelled, or the browser was not allowed to.',
    text:
      'Share again and choose what to show. If nothing can be chosen, let the browser record the screen in the ' +
      'system’s privacy settings.',
  },
  missing: {
    title: 'Your screen is not shared: there was nothing to show.',
    text: 'Share again and choose a screen, a window or a tab.',
  },
  busy: {
    title: 'Your screen is not shared: the system did not give its picture.',
    text: 'Share again, or choose another window.',
  },
  insecure: {
    title: 'Your screen is not shared: browsers let pages do so only over https.',
    text: 'Open this page with an https address.',
  },
  unsupported: {
    title: 'Your screen is not shared: this browser can’t do that.',
    text: 'Use a browser on a computer.',
  },
  forbidden: {
    title: 'You may not share your screen in this room.',
    text: 'Ask whoever runs it for the right to show pictures, then join again.',
  },
  failed: { title: 'Your screen is not shared: its picture could not be sent.', text: 'Share it again.' },
};

/** What is told when a source can't be had. */
export const CAPTURE_SENTENCES: Record<CaptureSource, Record<CaptureFault, Sentence>> = {
  mic: MICROPHONE_SENTENCES,
  camera: CAMERA_SENTENCES,
  screen: SCREEN_SENTENCES,
};

export const NAME_MISSING = 'Type a name: letters, digits, dots, dashes and underscores count.';
export const ROOM_MISSING = 'Type a room: letters, digits, dots, dashes and underscores count.';
export const LINK_BROKEN: Sentence = {
  title: 'This link is broken.',
  text: 'Its token can’t be read. Open it once more, whole, as it was given to you, or ask for a new one.',
};
export const CONNECTION_LOST: Sentence = {
  title: 'The connection is lost.',
  text:
    'This page tries to come back for about a minute, with everything on or off as you have it. If it can’t, the call ' +
    'ends, and you can join again.',
};
export const COPYING_REFUSED: Sentence = {
  title: 'The browser does not let this page copy.',
  text: 'Select the link and copy it yourself.',
};
export const PLAYBACK_BLOCKED: Sentence = {
  title: 'Your browser is holding the sound back.',
  text: 'It plays as soon as you click here.',
};
