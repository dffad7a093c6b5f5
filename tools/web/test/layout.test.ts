import assert from 'node:assert/strict';
import { test } from 'node:test';
import { arrange, GAP_PX, SCREEN_BAR_PX, type Size } from '../src/layout';

const DESKTOP: Size = { width: 1256, height: 640 };
const SMALL: Size = { width: 776, height: 440 };
const PHONE: Size = { width: 344, height: 498 };
const PHONE_LYING: Size = { width: 624, height: 266 };

const SCROLLBAR_PX = 12;
const WIDE = 16 / 9;

/** How high a number of tiles stands in a width. */
function heightOf(count: number, tile: Size, width: number): number {
  const columns = Math.floor((width + GAP_PX) / (tile.width + GAP_PX));
  const rows = Math.ceil(count / columns);
  return rows * tile.height + (rows - 1) * GAP_PX;
}

test('up to ten people are all in view at once, on a desktop, in a small window and on a phone', () => {
  for (const area of [DESKTOP, SMALL, PHONE]) {
    for (let people = 1; people <= 10; people++) {
      const { arrangement, person } = arrange(area, people, [], SCROLLBAR_PX);
      assert.equal(arrangement, 'grid');
      assert.ok(person.width <= area.width, `${people} in ${area.width}: ${person.width} wide`);
      const height = heightOf(people, person, area.width);
      assert.ok(height <= area.height, `${people} in ${area.width}×${area.height}: ${height} high`);
    }
  }
});

test('four people in a window of 800×600 stand two by two', () => {
  const { person } = arrange(SMALL, 4, [], SCROLLBAR_PX);
  assert.equal(Math.floor((SMALL.width + GAP_PX) / (person.width + GAP_PX)), 2);
  assert.ok(person.height > 200);
});

test('two people stand beside each other in a wide window and above each other on a phone', () => {
  const wide = arrange(DESKTOP, 2, [], SCROLLBAR_PX).person;
  assert.ok(wide.width * 2 + GAP_PX <= DESKTOP.width && wide.width > DESKTOP.width / 3);
  const upright = arrange(PHONE, 2, [], SCROLLBAR_PX).person;
  assert.equal(upright.width, PHONE.width);
});

test('pictures keep their shape within bounds', () => {
  for (const area of [DESKTOP, SMALL, PHONE, PHONE_LYING]) {
    for (let people = 1; people <= 12; people++) {
      const { width, height } = arrange(area, people, [], SCROLLBAR_PX).person;
      const shape = width / height;
      assert.ok(shape > (area === PHONE ? 0.78 : 1.3) && shape < 1.8, `${people} in ${area.width}: ${shape}`);
    }
  }
});

test('rather than smaller than a face can be told, tiles are scrolled to', () => {
  const { person } = arrange(PHONE, 40, [], SCROLLBAR_PX);
  assert.ok(person.width >= 132 && person.height >= 84);
  assert.ok(heightOf(40, person, PHONE.width) > PHONE.height);
});

test('a screen takes most of a wide window, with the people beside it', () => {
  for (const area of [DESKTOP, SMALL, PHONE_LYING]) {
    const { arrangement, person, screen, columnWidth } = arrange(area, 10, [WIDE], SCROLLBAR_PX);
    assert.equal(arrangement, 'beside');
    assert.ok(screen.width > area.width * 0.6, `${area.width}: ${screen.width}`);
    assert.ok(screen.width + GAP_PX + columnWidth <= area.width);
    assert.ok(screen.height <= area.height);
    assert.ok(person.width <= columnWidth);
  }
});

test('on a phone held upright the people stand below the screen', () => {
  const { arrangement, person, screen } = arrange(PHONE, 3, [WIDE], SCROLLBAR_PX);
  assert.equal(arrangement, 'below');
  assert.equal(screen.width, PHONE.width);
  assert.ok(screen.height + GAP_PX + heightOf(3, person, PHONE.width) <= PHONE.height);
});

test('a screen has the shape of its picture, and the people have the rest', () => {
  for (const shape of [4 / 3, 16 / 10, WIDE, 21 / 9]) {
    const { person, screen } = arrange(PHONE, 2, [shape], SCROLLBAR_PX);
    assert.ok(Math.abs(screen.width / (screen.height - SCREEN_BAR_PX) - shape) < 0.02, `${shape}: ${screen.height} high`);
    const left = PHONE.height - screen.height - GAP_PX - heightOf(2, person, PHONE.width);
    assert.ok(left >= 0 && left < 80, `${shape}: ${left} left`);
  }
});

test('what fits does not scroll; what does not leaves room for the scrollbar', () => {
  const scrolls = { stage: false, screens: false, people: false };
  assert.deepEqual(arrange(DESKTOP, 5, [WIDE, WIDE], SCROLLBAR_PX).scrolls, scrolls);
  assert.deepEqual(arrange(DESKTOP, 40, [WIDE], SCROLLBAR_PX).scrolls, { ...scrolls, people: true });
  for (const screens of [[], [WIDE]]) {
    const { person, scrolls: found } = arrange(PHONE, 40, screens, SCROLLBAR_PX);
    assert.deepEqual(found, { ...scrolls, stage: true });
    assert.equal(Math.floor((PHONE.width - SCROLLBAR_PX + GAP_PX) / (person.width + GAP_PX)), 2);
  }
});

test('several screens share the stage', () => {
  for (let screens = 2; screens <= 4; screens++) {
    const { screen, columnWidth } = arrange(DESKTOP, 5, Array(screens).fill(WIDE), SCROLLBAR_PX);
    assert.ok(heightOf(screens, screen, DESKTOP.width - columnWidth - GAP_PX) <= DESKTOP.height, `${screens} screens`);
  }
});

test('no area is too small to give a size that can be drawn', () => {
  for (const area of [{ width: 1, height: 1 }, { width: 50, height: 2000 }, { width: 2000, height: 20 }]) {
    for (const screens of [0, 1, 3]) {
      const { person, screen } = arrange(area, 7, Array(screens).fill(WIDE), SCROLLBAR_PX);
      const sizes = [person.width, person.height, ...(screens ? [screen.width, screen.height] : [])];
      for (const size of sizes) assert.ok(Number.isFinite(size) && size >= 1, `${JSON.stringify(area)}: ${sizes}`);
    }
  }
});
