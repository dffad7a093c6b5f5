// The door: a name, a room, and what went wrong the last time.

import { ID_LENGTH_MAX, toId, type Link } from '../entrance';
import { LINK_BROKEN, NAME_MISSING, ROOM_MISSING, type Sentence } from '../sentences';
import { element } from './element';
import { notice } from './notice';

export interface EntranceOptions {
  link: Link;
  /** What to tell on arrival, with its name. */
  fault?: { kind: string; sentence: Sentence } | undefined;
  onJoin: (name: string, room: string) => void;
}

export class EntranceView {
  readonly root: HTMLElement;
  readonly #name: HTMLInputElement;
  readonly #room: HTMLInputElement;
  readonly #button: HTMLButtonElement;

  constructor({ link, fault, onJoin }: EntranceOptions) {
    this.#name = input('name', link.name, 'nickname');
    // A token says whose it is; another name would be refused.
    this.#name.readOnly = link.token !== null;
    this.#room = input('room', link.room, 'off');
    this.#button = element('button', { type: 'submit', class: 'button primary wide' }, 'Join the room');
    tellId(this.#name, (id) => `You will be called ${id}.`);
    tellId(this.#room, (id) => `The room is ${id}.`);
    // Nothing that could be typed would mend it.
    const toFill = link.isBroken
      ? [notice('linkBroken', LINK_BROKEN)]
      : [
          field('Your name', this.#name, this.#name.readOnly ? 'Your token says who you are.' : ''),
          field('Room', this.#room, ''),
          this.#button,
        ];
    const form = element(
      'form',
      { class: 'card', novalidate: true },
      element('img', { class: 'logo', src: '/favicon.svg', alt: '', width: '52', height: '52' }),
      element('h1', {}, 'Join a room and talk'),
      element('p', { class: 'quiet' }, 'Everyone who opens the same room hears and sees each other.'),
      ...(fault ? [notice(fault.kind, fault.sentence)] : []),
      ...toFill,
    );
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const name = this.#name.readOnly ? this.#name.value : toId(this.#name.value);
      const room = toId(this.#room.value);
      const isNameGood = show(this.#name, name ? '' : NAME_MISSING);
      const isRoomGood = show(this.#room, room ? '' : ROOM_MISSING);
      if (isNameGood && isRoomGood) onJoin(name, room);
      else (isNameGood ? this.#room : this.#name).focus();
    });
    this.root = element('main', { class: 'entrance', 'data-view': 'entrance' }, form);
  }

  /** Puts the cursor where something is to be typed. */
  focus(): void {
    if (!this.#name.value) this.#name.focus();
    else if (!this.#room.value) this.#room.focus();
    else this.#button.focus();
  }

  /** Shows that the call is being set up. */
  setBusy(): void {
    this.#button.disabled = true;
    this.#button.textContent = 'Joining…';
  }
}

function input(name: string, value: string, autocomplete: string): HTMLInputElement {
  return element('input', {
    id: name,
    name,
    value,
    autocomplete,
    maxlength: String(ID_LENGTH_MAX),
    spellcheck: 'false',
    autocapitalize: 'off',
    required: true,
    'aria-describedby': `${name}-hint`,
  });
}

function field(label: string, control: HTMLInputElement, hint: string): HTMLElement {
  return element(
    'div',
    { class: 'field' },
    element('label', { for: control.id }, label),
    control,
    element('p', { id: `${control.id}-hint`, class: 'hint', 'aria-live': 'polite' }, hint),
  );
}

/** Says below a field what becomes of what is typed there, where the service takes it in another form only. */
function tellId(control: HTMLInputElement, sentence: (id: string) => string): void {
  control.addEventListener('input', () => {
    const id = toId(control.value);
    show(control, '');
    tell(control, id !== '' && id !== control.value ? sentence(id) : '');
  });
}

/** Shows what is wrong with a field, or that nothing is; tells whether it is good. */
function show(control: HTMLInputElement, fault: string): boolean {
  control.setAttribute('aria-invalid', String(fault !== ''));
  tell(control, fault);
  return fault === '';
}

/** Puts words below a field. */
function tell(control: HTMLInputElement, words: string): void {
  const hint = document.getElementById(`${control.id}-hint`);
  if (hint) hint.textContent = words;
}
