// What a person is told: one plain sentence on what happened, one on what to do.

import type { CallFault } from './fault';
import type { MicrophoneFault } from './microphone';

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
    text: 'Check your connection, then join again. Your microphone is off.',
  },
};

export const MICROPHONE_SENTENCES: Record<MicrophoneFault, Sentence> = {
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
  forbidden: {
    title: 'You may listen in this room, but not speak.',
    text: 'Ask whoever runs it for the right to speak, then join again.',
  },
  failed: {
    title: 'Nobody can hear you: the microphone could not be sent.',
    text: 'Try again. You hear the others all the same.',
  },
};

export const NAME_MISSING = 'Type a name: letters, digits, dots, dashes and underscores count.';
export const ROOM_MISSING = 'Type a room: letters, digits, dots, dashes and underscores count.';
export const PLAYBACK_BLOCKED: Sentence = {
  title: 'Your browser is holding the sound back.',
  text: 'It plays as soon as you click here.',
};
