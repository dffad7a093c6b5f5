// What the tests speak with in every page: `caller` holds everything, and what it gives back is plain data. It makes calls of its
// own, and gives the web client a camera and a screen.

import { Call } from './call.js';
import { Easel } from './easel.js';
import * as gallery from './gallery.js';
import { Metronome } from './metronome.js';
import { codecsOf, connectPair } from './pair.js';
import { Stopwatch } from './stopwatch.js';
import { Viewer } from './viewer.js';

const call = new Call();
const easels = new Map();
const stopwatches = new Map();
let pair = null;

globalThis.caller = {
  join: (options) => call.join(options),
  leave: () => call.leave(),
  sendable: () => call.sendable(),
  receivable: () => call.receivable(),
  request: (type, fields) => call.request(type, fields),
  pause: (source) => call.pause(source),
  resume: (source) => call.resume(source),

  /** Sends pictures that bear `number`. */
  async showPicture({ source, number, width, height, codec, encodings }) {
    const easel = new Easel({ number, width, height });
    easels.set(source, easel);
    return absolute(await call.publish({ source, track: easel.track, codec, encodings }));
  },

  /** Sends two tones. */
  async playTones({ source, tones }) {
    const [track] = (await instruments.toneStream(tones)).getAudioTracks();
    return absolute(await call.publish({ source, track }));
  },

  /** Sends a flash and a beep once a second, as camera and microphone, and takes their times before they are sent. */
  async beat(userId) {
    const metronome = await Metronome.start();
    await call.publish({ source: 'camera', track: metronome.picture });
    await call.publish({ source: 'mic', track: metronome.sound });
    stopwatches.set(userId, await Stopwatch.start(metronome.video, metronome.sound));
  },

  /** Begins to take the times of someone's flashes and beeps as they arrive here. */
  async takeTimesOf(userId) {
    const [camera, microphone] = ['camera', 'mic'].map((source) => call.stream(userId, source));
    stopwatches.set(userId, await Stopwatch.start(camera.element, microphone.consumer.track));
  },

  timesOf: (userId) => ({ flashes: stopwatches.get(userId).flashes, beeps: stopwatches.get(userId).beeps }),

  /** Sends pictures with another number, of another track, in the place of those that are sent. */
  async replacePicture({ source, number }) {
    const before = easels.get(source);
    const easel = new Easel({ number });
    easels.set(source, easel);
    await call.replace(source, easel.track);
    before.stop();
  },

  async unpublish(source) {
    await call.unpublish(source);
    easels.get(source)?.stop();
    easels.delete(source);
  },

  /** Asks the service for something that names a consumer: the one of a user's stream. */
  async requestOf(userId, source, type) {
    const { consumer } = call.stream(userId, source);
    await call.request(type, { consumerId: consumer.id });
  },

  /** What is received, as plain data. */
  look() {
    return [...call.streams.values()].map(({ userId, source, kind, announcedAt, resumedAt, viewer, consumer }) => ({
      userId,
      source,
      kind,
      codec: consumer?.rtpParameters.codecs[0].mimeType.toLowerCase() ?? null,
      joinedAt: absolute(call.joinedAt),
      announcedAt: absolute(announcedAt),
      resumedAt: absolute(resumedAt),
      firstAt: absolute(viewer?.firstAt ?? null),
      shown: viewer?.shown ?? null,
      seen: viewer?.seen ?? null,
    }));
  },

  refused: () => call.refused,
  states: () => call.states,

  /** What all pictures of the page said, whoever put them there. */
  seen: gallery.look,
  forget: gallery.forget,

  /** Fills the page with a picture and plays tones, under a title by which it is found. */
  async exhibit({ title, number, tones }) {
    document.title = title;
    const { canvas } = new Easel({ number, width: innerWidth, height: innerHeight });
    Object.assign(canvas.style, { position: 'fixed', inset: 0 });
    document.body.append(canvas);
    const audio = Object.assign(document.createElement('audio'), { srcObject: await instruments.toneStream(tones) });
    await audio.play();
  },

  /**
   * Whoever opens the camera gets a picture with this number from now on; and whoever shares the screen, with its sound; with
   * `screen` null the browser's own.
   */
  installPictures({ camera, screen, screenTones }) {
    const { mediaDevices } = navigator;
    // Pages that are neither https nor loopback have none.
    if (!mediaDevices) return;
    const openMicrophone = mediaDevices.getUserMedia.bind(mediaDevices);
    const easelOf = (number) => new MediaStream([new Easel({ number }).track]);
    mediaDevices.getUserMedia = async (wanted) => (wanted.video ? easelOf(camera) : openMicrophone(wanted));
    if (screen === null) return;
    mediaDevices.getDisplayMedia = async () => {
      const sound = await instruments.toneStream(screenTones);
      return new MediaStream([...easelOf(screen).getTracks(), ...sound.getTracks()]);
    };
  },

  /** What this browser can do by itself. */
  codecs: () => ({ sent: codecsOf(RTCRtpSender), received: codecsOf(RTCRtpReceiver) }),

  /** Shows and reads a number without a service: sent with `codec` from one connection of this page to another. */
  async openPair({ number, codec }) {
    const easel = new Easel({ number });
    const video = document.createElement('video');
    Object.assign(video, { autoplay: true, muted: true });
    document.body.append(video);
    const disconnect = await connectPair(easel.track, codec, (track) => (video.srcObject = new MediaStream([track])));
    pair = { easel, video, disconnect, viewer: new Viewer(video) };
  },

  lookAtPair: () => ({ shown: pair.viewer.shown, seen: pair.viewer.seen, painted: pair.easel.picture }),

  closePair() {
    pair.disconnect();
    pair.easel.stop();
    pair.video.srcObject = null;
    pair.video.remove();
  },
};

/** A time of `performance.now()` as one that all pages of this machine share, in milliseconds since the Unix epoch. */
function absolute(time) {
  return time === null ? null : performance.timeOrigin + time;
}
