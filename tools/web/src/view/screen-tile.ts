// A shared screen, whole and never cut, with a way to see it as large as the display.

import { SCREEN_SHAPE_USUAL } from '../layout';
import { shownOf, type Participant } from '../room';
import { element, icon } from './element';
import { Picture, type PictureState } from './picture';

export class ScreenTile {
  /** Called when the shape may have changed of itself. */
  onReshape: () => void = () => {};

  readonly root: HTMLElement;
  readonly #userId: string;
  readonly #picture: Picture;
  readonly #hint = element('p', { class: 'screen-hint' });
  readonly #enlarge: HTMLButtonElement;

  constructor({ userId, isSelf }: Participant) {
    this.#userId = userId;
    const name = isSelf ? 'Your screen' : `Screen of ${userId}`;
    this.#picture = new Picture(userId, 'screen', name);
    this.#picture.onChange = () => {
      this.#showState();
      this.onReshape();
    };
    this.#enlarge = element(
      'button',
      { type: 'button', class: 'button enlarge', title: 'Full size', click: () => void this.#toggleSize() },
      icon('enlarge'),
      element('span', { class: 'visually-hidden' }, `${name} in full size`),
    );
    const label = element('span', { class: 'tile-name', title: name }, name);
    const line = element('div', { class: 'tile-line' }, icon('screen'), label);
    // Where the browser shows nothing but films in full size the button is of no use; nor is it to whoever shares.
    if (document.fullscreenEnabled && !isSelf) line.append(this.#enlarge);
    this.root = element(
      'li',
      { class: 'screen', 'data-user': userId, 'data-source': 'screen' },
      element('div', { class: 'tile-media' }, icon('screen'), this.#hint, this.#picture.root),
      line,
    );
  }

  /** Width by height of what is shown. */
  get shape(): number {
    return this.#picture.shape ?? SCREEN_SHAPE_USUAL;
  }

  update(participant: Participant): void {
    this.#picture.show(shownOf(participant, 'screen'));
    this.#showState();
  }

  /** Lets go of the picture; the tile is gone from the page. */
  close(): void {
    this.#picture.close();
  }

  #showState(): void {
    const { state } = this.#picture;
    if (this.root.dataset.picture === state) return;
    this.root.dataset.picture = state;
    this.#hint.textContent = this.#hintOf(state);
  }

  #hintOf(state: PictureState): string {
    if (state === 'refused') return `This browser can’t show the screen of ${this.#userId}.`;
    return state === 'waiting' ? 'The screen is on its way…' : '';
  }

  async #toggleSize(): Promise<void> {
    // A browser may refuse, then nothing changes.
    if (document.fullscreenElement) await document.exitFullscreen().catch(() => {});
    else await this.root.requestFullscreen().catch(() => {});
  }
}
