// Makes elements. Nothing here takes markup from a string, so that no name of a user or a room can become any.

type Child = Node | string;
type Attributes = Record<string, string | boolean | ((event: never) => void)>;

/** Makes an element; an attribute that is a function listens to the event of its name, `true` stands without a value. */
export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') made.addEventListener(name, value as EventListener);
    else if (value === true) made.setAttribute(name, '');
    else if (value !== false) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

const ICONS = {
  microphone: 'M12 3a3 3 0 0 1 3 3v5a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3ZM6 11a6 6 0 0 0 12 0M12 17v4M9 21h6',
  microphoneOff:
    'M15 9.5V6a3 3 0 0 0-5.8-1M9 9.5V11a3 3 0 0 0 4.6 2.5M6 11a6 6 0 0 0 9.5 4.9M18 11c0 .8-.1 1.5-.4 2.2M12 17v4M9 21h6M4 4l16 16',
  microphoneMissing: 'M12 10.500v.500a3 3 0 0 1-6 0V6a3 3 0 0 1 4.500-2.600M3 11a6 6 0 0 0 12 0M9 17v4M6 21h6M15.500 2.500l6 6M21.500 2.500l-6 6',
  headphones: 'M4 15v-3a8 8 0 0 1 16 0v3M4 15a2 2 0 0 1 2-2h1v7H6a2 2 0 0 1-2-2v-3ZM20 15a2 2 0 0 0-2-2h-1v7h1a2 2 0 0 0 2-2v-3Z',
  headphonesOff:
    'M4 15v-3a8 8 0 0 1 1.7-5M8.5 4.8A8 8 0 0 1 20 12v3M4 15a2 2 0 0 1 2-2h1v7H6a2 2 0 0 1-2-2v-3ZM17 17v3h1a2 2 0 0 0 1.5-.7M20 16v-1a2 2 0 0 0-2-2M4 4l16 16',
  camera: 'M4 7h9a2 2 0 0 1 2 2v6a2 2 0 0 1-2 2H4a2 2 0 0 1-2-2V9a2 2 0 0 1 2-2ZM15 11l5.500-3v8L15 13',
  cameraOff:
    'M9 7h4a2 2 0 0 1 2 2v2l5.500-3v8L17 14M14.500 16.300A2 2 0 0 1 13 17H4a2 2 0 0 1-2-2V9a2 2 0 0 1 2-2h.500M4 4l16 16',
  screen: 'M4 4h16a2 2 0 0 1 2 2v9a2 2 0 0 1-2 2H4a2 2 0 0 1-2-2V6a2 2 0 0 1 2-2ZM8 21h8M12 17v4M12 13.500V8M9.500 10 12 7.500l2.500 2.500',
  screenOff: 'M4 4h16a2 2 0 0 1 2 2v9a2 2 0 0 1-2 2H4a2 2 0 0 1-2-2V6a2 2 0 0 1 2-2ZM8 21h8M12 17v4M9.500 8l5 5M14.500 8l-5 5',
  enlarge: 'M9 4H4v5M15 4h5v5M9 20H4v-5M15 20h5v-5',
  people: 'M9 11a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7ZM2.500 20a6.500 6.500 0 0 1 13 0M16 4.500a3.500 3.500 0 0 1 0 6M18 14a6.500 6.500 0 0 1 3.500 6',
  leave: 'M14 4h4a2 2 0 0 1 2 2v12a2 2 0 0 1-2 2h-4M9 8l-4 4 4 4M5 12h10',
  check: 'M5 12.500l4.500 4.500L19 7.500',
  link: 'M9.5 14.500l5-5M8 11l-2 2a3.5 3.5 0 0 0 5 5l2-2M11 8l2-2a3.5 3.5 0 0 1 5 5l-2 2',
  sound: 'M4 9.500v5h3.500L12 18.500v-13L7.5 9.500ZM15.5 9a4 4 0 0 1 0 6M18 6.500a8 8 0 0 1 0 11',
} as const;

export type IconName = keyof typeof ICONS;

/** Draws an icon. It says nothing by itself: the text beside it, or the label of its button, does. */
export function icon(name: IconName): SVGElement {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}

/** Speaks sentences to those who use a screen reader. */
export function announce(...sentences: string[]): void {
  const announcer = document.getElementById('announcer');
  if (announcer && sentences.length > 0) announcer.textContent = sentences.join('. ');
}
