// A picture that says what it is: whose, and the how manieth. Large black and white blocks, so that it is still read after
// an encoder has made it small and poor, and a check, so that what is read wrong is not taken for another.

/** Eight by four blocks: a byte whose it is, two bytes the how manieth, a byte that checks them. */
const COLUMNS = 8;
const ROWS = 4;
/** The check of nothing but zeros is not zero: neither a black nor a white picture is valid. */
const CHECK_START = 0xff;
const CHECK_POLYNOMIAL = 0x07;

/** A picture is read from so many pixels a block and side; its edges, where neighbours leak in, are left out. */
const SAMPLES = 8;
const EDGE = 2;
/** A block must be this much darker or lighter than the middle grey of 128, else nothing is read. */
const CONTRAST_MIN = 40;

/** Pictures are counted up to here, and then from 0 again: an hour and more at ten a second. */
export const PICTURES = 1 << 16;

/** The blocks of a picture, row by row: true is white. */
export function blocksOf({ number, picture }) {
  const bytes = [number & 0xff, (picture >> 8) & 0xff, picture & 0xff];
  return [...bytes, checkOf(bytes)].flatMap((byte) =>
    Array.from({ length: COLUMNS }, (_, place) => ((byte >> (COLUMNS - 1 - place)) & 1) === 1),
  );
}

/** What blocks say, or null where they say nothing. */
export function meaningOf(blocks) {
  const bytes = Array.from({ length: ROWS }, (_, row) =>
    blocks.slice(row * COLUMNS, (row + 1) * COLUMNS).reduce((byte, isWhite) => byte * 2 + Number(isWhite), 0),
  );
  const check = bytes.pop();
  if (check !== checkOf(bytes)) return null;
  return { number: bytes[0], picture: bytes[1] * 256 + bytes[2] };
}

/** Paints a whole canvas. */
export function paint(canvas, meaning) {
  const context = canvas.getContext('2d');
  const [width, height] = [canvas.width / COLUMNS, canvas.height / ROWS];
  for (const [place, isWhite] of blocksOf(meaning).entries()) {
    context.fillStyle = isWhite ? '#fff' : '#000';
    context.fillRect((place % COLUMNS) * width, Math.floor(place / COLUMNS) * height, width, height);
  }
}

/** A place to read pictures in; one for each reader, since it is used again and again. */
export function readingGlass() {
  const canvas = document.createElement('canvas');
  canvas.width = COLUMNS * SAMPLES;
  canvas.height = ROWS * SAMPLES;
  return canvas.getContext('2d', { willReadFrequently: true });
}

/** Reads what a video element shows, or null where that is no such picture. */
export function read(video, glass) {
  const { width, height } = glass.canvas;
  glass.drawImage(video, 0, 0, width, height);
  const { data } = glass.getImageData(0, 0, width, height);
  return meaningOfPixels(data, width);
}

/** Reads red, green, blue and alpha bytes, `width` pixels a row; exported for its test. */
export function meaningOfPixels(data, width) {
  const blocks = [];
  for (let place = 0; place < COLUMNS * ROWS; place++) {
    const difference = brightnessOf(data, width, place) - 128;
    if (Math.abs(difference) < CONTRAST_MIN) return null;
    blocks.push(difference > 0);
  }
  return meaningOf(blocks);
}

/** The mean brightness of a block's middle. */
function brightnessOf(data, width, place) {
  const [left, top] = [(place % COLUMNS) * SAMPLES, Math.floor(place / COLUMNS) * SAMPLES];
  let sum = 0;
  let pixels = 0;
  for (let y = top + EDGE; y < top + SAMPLES - EDGE; y++) {
    for (let x = left + EDGE; x < left + SAMPLES - EDGE; x++) {
      // Black, white and grey have as much green as any other colour.
      sum += data[(y * width + x) * 4 + 1];
      pixels++;
    }
  }
  return sum / pixels;
}

function checkOf(bytes) {
  let check = CHECK_START;
  for (const byte of bytes) {
    check ^= byte;
    for (let bit = 0; bit < 8; bit++) check = (check & 0x80 ? (check << 1) ^ CHECK_POLYNOMIAL : check << 1) & 0xff;
  }
  return check;
}
