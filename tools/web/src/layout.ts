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
/** A screen is never cut. Outside of these shapes the bars beside it grow. */
const SCREEN_SHAPE = { min: 4 / 3, max: 16 / 9, barPx: SCREEN_BAR_PX };
const SCREEN_MIN: Size = { width: 200, height: 120 };
/** The column of people takes this share of the width, within these bounds. */
const COLUMN = { share: 0.22, minPx: 132, maxPx: 300 };
/** Below a screen people keep at least this share of the height. */
const BELOW_SHARE_MIN = 0.36;
/** From this width, and while it is wider than high, there is room for a column beside a screen. */
const BESIDE_WIDTH_MIN = 520;

/** Finds the arrangement in which everything is as large as can be. */
export function arrange(area: Size, people: number, screens: number): Layout {
  const personShape = area.width > area.height ? PERSON_SHAPE : PERSON_SHAPE_UPRIGHT;
  if (screens === 0) {
    const person = fit(area, people, personShape, PERSON_MIN);
    return { arrangement: 'grid', person, screen: { width: 0, height: 0 }, columnWidth: area.width };
  }
  if (area.width >= BESIDE_WIDTH_MIN && area.width > area.height) {
    const columnWidth = Math.floor(clamp(area.width * COLUMN.share, COLUMN.minPx, COLUMN.maxPx));
    const stage = { width: area.width - columnWidth - GAP_PX, height: area.height };
    return {
      arrangement: 'beside',
      person: fit({ width: columnWidth, height: area.height }, people, personShape, PERSON_BESIDE_MIN),
      screen: fit(stage, screens, SCREEN_SHAPE, SCREEN_MIN),
      columnWidth,
    };
  }
  const stage = { width: area.width, height: area.height * (1 - BELOW_SHARE_MIN) - GAP_PX };
  const screen = fit(stage, screens, SCREEN_SHAPE, SCREEN_MIN);
  const taken = Math.ceil(screens / columnsOf(stage.width, screen.width)) * (screen.height + GAP_PX);
  const rest = { width: area.width, height: area.height - taken };
  return {
    arrangement: 'below',
    person: fit(rest, people, personShape, PERSON_MIN),
    screen,
    columnWidth: area.width,
  };
}

/** The shapes that a picture may have, width by height, and the height of the line above it. */
interface Shape {
  min: number;
  max: number;
  barPx?: number;
}

/**
 * The largest size at which so many tiles fit into an area. Where that would be below the minimum, tiles are as wide as
 * the columns that have the minimum, and what does not fit is scrolled to.
 */
function fit(area: Size, count: number, { min, max, barPx = 0 }: Shape, minimum: Size): Size {
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
  if (best.width >= minimum.width && best.height >= minimum.height) return best;
  const columns = Math.min(count, columnsOf(area.width, minimum.width));
  const width = Math.floor((area.width - GAP_PX * (columns - 1)) / columns);
  return { width, height: Math.max(minimum.height, Math.floor(width / max + barPx)) };
}

/** How many tiles of a width stand beside one another. */
function columnsOf(width: number, tileWidth: number): number {
  return Math.max(1, Math.floor((width + GAP_PX) / (tileWidth + GAP_PX)));
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(max, Math.max(min, value));
}
