// A sentence that needs a person's attention, with at most one thing to do about it.

import type { Sentence } from '../sentences';
import { element } from './element';

export interface NoticeAction {
  label: string;
  run: () => void;
}

/** Makes a notice. `kind` names it for style and for tests. */
export function notice(kind: string, { title, text }: Sentence, action?: NoticeAction): HTMLElement {
  return element(
    'div',
    { class: 'notice', role: 'alert', 'data-notice': kind },
    element('div', {}, element('strong', {}, title), ' ', text),
    ...(action ? [element('button', { type: 'button', class: 'button', click: action.run }, action.label)] : []),
  );
}
