// Every video element of a page that has `data-user` and `data-source`, each with someone who watches it.

import { Viewer } from './viewer.js';

const viewers = new WeakMap();

/** The viewer of an element, from now on. */
export function viewerOf(video) {
  if (!viewers.has(video)) viewers.set(video, new Viewer(video));
  return viewers.get(video);
}

/** What is shown of whom, as plain data. An element that is there and hidden shows nothing. */
export function look() {
  const elements = [...document.querySelectorAll('video[data-user]')];
  const shown = elements.filter((video) => video.srcObject !== null && video.checkVisibility({ opacityProperty: true }));
  return shown.map((video) => ({ userId: video.dataset.user, source: video.dataset.source, seen: viewerOf(video).seen }));
}

/** Begins to count anew what is seen. */
export function forget() {
  for (const video of document.querySelectorAll('video[data-user]')) viewerOf(video).forget();
}
