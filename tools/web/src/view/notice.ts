// A sentence that needs a person's attention, with what to do about it.

import type { Sentence } from '../sentences';
import { element } from './element';

export interface NoticeAction {
  label: string;
  run: () => void;
}

/** Makes a notice. `kind` names it for style and for tests; `extras` are buttons and whatever else stands below. */
export function notice(kind: string, { title, text }: Sentence, ...extras: (NoticeAction | HTMLElement)[]): HTMLElement {
  return element(
    'div',
    { class: 'notice', role: 'alert', 'data-notice': kind },
    element('div', {}, element('strong', {}, title), ' ', text),
    ...extras.map((extra) => (extra instanceof HTMLElement ? extra : button(extra))),
  );
}

function button({ label, run }: NoticeAction): HTMLElement {
  return element('button', { type: 'button', class: 'button', click: run }, label);
}
