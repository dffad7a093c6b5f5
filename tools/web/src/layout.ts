// Where the tiles of a call go: how large they are in the room that there is. Knows sizes, not people.

export interface Size {
  width: number;
  height: number;
}

/** People alone; screens with the people beside them; screens with the people below them. */
export type Arrangement = 'grid' | 'beside' | 'below';

export interface Layout {
  arrangement: Arrangement;
  /** The size of one person's tile. */
  person: Size;
  /** The size of one shared screen. */
  screen: Size;
  /** How wide the column of people is, where they stand beside the screens. */
  columnWidth: number;
  /** What holds more than fits, and is to be scrolled: beside each other screens and people each, else the whole. */
  scrolls: { stage: boolean; screens: boolean; people: boolean };
}

/** Between two tiles, in every direction. */
export const GAP_PX = 10;
/** Above a screen stands a line with its name, as high as this. */
export const SCREEN_BAR_PX = 32;
/** A face and a name can still be told apart at this size; rather than smaller tiles there is more to scroll. */
const PERSON_MIN: Size = { width: 132, height: 84 };
/** Beside a screen people are company, not the subject. */
const PERSON_BESIDE_MIN: Size = { width: 112, height: 72 };
/** A picture is cut a little, from 16:9 as cameras give it; more where a window is held upright. */
const PERSON_SHAPE = { min: 4 / 3, max: 16 / 9 };
const PERSON_SHAPE_UPRIGHT = { min: 0.8, max: 16 / 9 };
/** A screen is never cut: it gets its own shape, from an old display's to two side by side; bars make up for the rest. */
const SCREEN_SHAPE = { min: 4 / 3, max: 32 / 9 };
/** Until its first picture is there, a screen counts as one of these. */
export const SCREEN_SHAPE_USUAL = 16 / 9;
const SCREEN_MIN: Size = { width: 200, height: 120 };
/** The column of people takes this share of the width, within these bounds. */
const COLUMN = { share: 0.22, minPx: 132, maxPx: 300 };
/** Below a screen people keep at least this share of the height. */
const BELOW_SHARE_MIN = 0.36;
/** From this width, and while it is wider than high, there is room for a column beside a screen. */
const BESIDE_WIDTH_MIN = 520;

/**
 * Finds the arrangement in which everything is as large as can be, for so many people and for screens of these shapes
 * (width by height). What is to be scrolled is given room for a scrollbar of this width.
 */
export function arrange(area: Size, people: number, screens: number[], scrollbarPx: number): Layout {
  const personShape = area.width > area.height ? PERSON_SHAPE : PERSON_SHAPE_UPRIGHT;
  if (screens.length === 0) {
    const { size: person, isFull } = fitOrScroll(area, people, personShape, PERSON_MIN, scrollbarPx);
    const scrolls = { stage: isFull, screens: false, people: false };
    return { arrangement: 'grid', person, screen: { width: 0, height: 0 }, columnWidth: area.width, scrolls };
  }
  const shapes = screens.map((shape) => clamp(shape, SCREEN_SHAPE.min, SCREEN_SHAPE.max));
  const screenShape = { min: Math.min(...shapes), max: Math.max(...shapes), barPx: SCREEN_BAR_PX };
  if (area.width >= BESIDE_WIDTH_MIN && area.width > area.height) {
    const columnWidth = Math.floor(clamp(area.width * COLUMN.share, COLUMN.minPx, COLUMN.maxPx));
    const stage = { width: area.width - columnWidth - GAP_PX, height: area.height };
    const column = { width: columnWidth, height: area.height };
    const person = fitOrScroll(column, people, personShape, PERSON_BESIDE_MIN, scrollbarPx);
    const screen = fitOrScroll(stage, screens.length, screenShape, SCREEN_MIN, scrollbarPx);
    const scrolls = { stage: false, screens: screen.isFull, people: person.isFull };
    return { arrangement: 'beside', person: person.size, screen: screen.size, columnWidth, scrolls };
  }
  const below = (width: number): Layout => {
    const stage = { width, height: area.height * (1 - BELOW_SHARE_MIN) - GAP_PX };
    const screen = fit(stage, screens.length, screenShape, SCREEN_MIN);
    const rest = { width, height: area.height - heightOf(screens.length, screen.size, width) - GAP_PX };
    const person = fit(rest, people, personShape, PERSON_MIN);
    const scrolls = { stage: person.isFull, screens: false, people: false };
    return { arrangement: 'below', person: person.size, screen: screen.size, columnWidth: width, scrolls };
  };
  const whole = below(area.width);
  return whole.scrolls.stage ? { ...below(area.width - scrollbarPx), scrolls: whole.scrolls } : whole;
}

/** The shapes that a picture may have, width by height, and the height of the line above it. */
interface Shape {
  min: number;
  max: number;
  barPx?: number;
}

/** The size of tiles in an area; `isFull` where there are more of them than fit. */
interface Fit {
  size: Size;
  isFull: boolean;
}

/** As `fit`; what is to be scrolled leaves room for a scrollbar. */
function fitOrScroll(area: Size, count: number, shape: Shape, minimum: Size, scrollbarPx: number): Fit {
  const whole = fit(area, count, shape, minimum);
  if (!whole.isFull) return whole;
  const { size } = fit({ ...area, width: area.width - scrollbarPx }, count, shape, minimum);
  return { size, isFull: true };
}

/**
 * The largest size at which so many tiles fit into an area. Where that would be below the minimum, tiles are as wide as
 * the columns that have the minimum, and what does not fit is scrolled to.
 */
function fit(area: Size, count: number, { min, max, barPx = 0 }: Shape, minimum: Size): Fit {
  let best: Size = { width: 0, height: 0 };
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const cell = {
      width: (area.width - GAP_PX * (columns - 1)) / columns,
      height: (area.height - GAP_PX * (rows - 1)) / rows,
    };
    const size = {
      width: Math.floor(Math.min(cell.width, (cell.height - barPx) * max)),
      height: Math.floor(Math.min(cell.height, cell.width / min + barPx)),
    };
    if (size.width * size.height > best.width * best.height) best = size;
  }
  if (best.width >= minimum.width && best.height >= minimum.height) return { size: best, isFull: false };
  const columns = Math.min(count, columnsOf(area.width, minimum.width));
  const width = Math.max(1, Math.floor((area.width - GAP_PX * (columns - 1)) / columns));
  const size = { width, height: Math.max(minimum.height, Math.floor(width / max + barPx)) };
  return { size, isFull: heightOf(count, size, area.width) > area.height };
}

/** How high so many tiles stand in a width. */
function heightOf(count: number, tile: Size, width: number): number {
  const rows = Math.ceil(count / columnsOf(width, tile.width));
  return rows * tile.height + (rows - 1) * GAP_PX;
}

/** How many tiles of a width stand beside one another. */
function columnsOf(width: number, tileWidth: number): number {
  return Math.max(1, Math.floor((width + GAP_PX) / (tileWidth + GAP_PX)));
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(max, Math.max(min, value));
}
