// The people and the screens of a room, arranged in the room that the page has for them.

import { arrange, GAP_PX, SCREEN_BAR_PX } from '../layout';
import { shownOf, type Participant } from '../room';
import { element, icon } from './element';
import { PersonTile } from './person-tile';
import { ScreenTile } from './screen-tile';

export class Stage {
  readonly root: HTMLElement;
  readonly #screens = element('ul', { class: 'screens', 'aria-label': 'Shared screens' });
  readonly #people = element('ul', { class: 'tiles', 'aria-label': 'People in the room' });
  readonly #invitation: HTMLElement;
  readonly #personTiles = new Map<string, PersonTile>();
  readonly #screenTiles = new Map<string, ScreenTile>();
  #arrangedFor = '';

  /** `copyButton` stands where somebody who is alone looks for it. */
  constructor(copyButton: HTMLElement) {
    this.#invitation = element(
      'li',
      { class: 'invitation' },
      icon('people'),
      element('p', {}, element('strong', {}, 'Nobody else is here yet')),
      element('p', { class: 'quiet' }, 'Send the link to whoever you want to talk to.'),
      copyButton,
    );
    this.root = element('div', { class: 'stage' }, this.#screens, this.#people);
    this.root.style.setProperty('--gap', `${GAP_PX}px`);
    this.root.style.setProperty('--bar', `${SCREEN_BAR_PX}px`);
    new ResizeObserver(() => this.#arrange()).observe(this.root);
  }

  /** Brings the tiles up to who is there and what they show. */
  update(participants: ReadonlyMap<string, Participant>): void {
    this.#updatePeople(participants);
    this.#updateScreens(participants);
    if (participants.size === 1) this.#people.append(this.#invitation);
    else this.#invitation.remove();
    this.#arrange();
  }

  #updatePeople(participants: ReadonlyMap<string, Participant>): void {
    for (const [userId, tile] of this.#personTiles) {
      if (participants.has(userId)) continue;
      remove(this.#personTiles, userId, tile);
    }
    for (const participant of participants.values()) {
      let tile = this.#personTiles.get(participant.userId);
      if (!tile) {
        tile = new PersonTile(participant);
        this.#personTiles.set(participant.userId, tile);
        this.#people.append(tile.root);
      }
      tile.update(participant);
    }
  }

  #updateScreens(participants: ReadonlyMap<string, Participant>): void {
    for (const [userId, tile] of this.#screenTiles) {
      const participant = participants.get(userId);
      if (participant && shownOf(participant, 'screen')) continue;
      remove(this.#screenTiles, userId, tile);
    }
    for (const participant of participants.values()) {
      const { userId, isSelf } = participant;
      if (!shownOf(participant, 'screen')) continue;
      let tile = this.#screenTiles.get(userId);
      if (!tile) {
        tile = new ScreenTile(participant);
        tile.onReshape = () => this.#arrange();
        this.#screenTiles.set(userId, tile);
        // One's own screen is in view already; it needs no stage.
        if (isSelf) this.#personTiles.get(userId)?.root.after(tile.root);
        else this.#screens.append(tile.root);
      }
      tile.update(participant);
    }
  }

  /** Gives everything its size; nothing happens where nothing has changed. */
  #arrange(): void {
    // Measured from outside: a scrollbar of what stands there now says nothing of what comes.
    const { width, height } = this.root.getBoundingClientRect();
    const area = { width: Math.floor(width), height: Math.floor(height) };
    if (area.width === 0 || area.height === 0) return;
    const people = this.#people.childElementCount;
    const onStage = [...this.#screenTiles.values()].filter(({ root }) => root.parentElement === this.#screens);
    const shapes = onStage.map(({ shape }) => shape);
    const arrangedFor = JSON.stringify([area, people, shapes]);
    if (arrangedFor === this.#arrangedFor) return;
    this.#arrangedFor = arrangedFor;
    const { arrangement, person, screen, columnWidth, scrolls } = arrange(area, people, shapes, this.#scrollbarPx());
    const { dataset, style } = this.root;
    dataset.arrangement = arrangement;
    dataset.scrolls = String(scrolls.stage);
    this.#screens.dataset.scrolls = String(scrolls.screens);
    this.#people.dataset.scrolls = String(scrolls.people);
    this.#screens.hidden = shapes.length === 0;
    style.setProperty('--person-width', `${person.width}px`);
    style.setProperty('--person-height', `${person.height}px`);
    style.setProperty('--screen-width', `${screen.width}px`);
    style.setProperty('--screen-height', `${screen.height}px`);
    style.setProperty('--column-width', `${columnWidth}px`);
  }

  /** How much of a width a scrollbar takes here; nothing where it lies over what it scrolls. */
  #scrollbarPx(): number {
    const probe = element('div', { class: 'scrollbar-probe' });
    this.root.append(probe);
    const width = probe.offsetWidth - probe.clientWidth;
    probe.remove();
    return width;
  }
}

function remove(tiles: Map<string, PersonTile | ScreenTile>, userId: string, tile: PersonTile | ScreenTile): void {
  tile.close();
  tile.root.remove();
  tiles.delete(userId);
}
