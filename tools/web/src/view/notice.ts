// A sentence that needs a person's attention, with what to do about it.

import type { Sentence } from '../sentences';
import { element } from './element';

export interface NoticeAction {
  label: string;
  run: () => void;
}

/** Makes a notice. `kind` names it for style and for tests. */
export function notice(kind: string, { title, text }: Sentence, ...actions: NoticeAction[]): HTMLElement {
  return element(
    'div',
    { class: 'notice', role: 'alert', 'data-notice': kind },
    element('div', {}, element('strong', {}, title), ' ', text),
    ...actions.map(({ label, run }) => element('button', { type: 'button', class: 'button', click: run }, label)),
  );
}
