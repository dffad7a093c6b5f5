// Who plays which tones, and what was heard of them.

/** No multiple of one tone is another, since 700 is no multiple of 130: an overtone is never taken for someone's tone. */
const FIRST_HZ = 700;
/** Twenty-two bins of the analysers; the window of each reaches three. */
const STEP_HZ = 130;
const PAIRS_MAX = 12;
/** What comes with someone's screen has the tones of so many participants later. */
export const TONES_OF_SCREEN = PAIRS_MAX / 2;

/** A tone this strong is heard: one that is played arrives at about −26 dB, and what leaks beside it is under −80. */
const HEARD_DB = -45;

/** The tones of the n-th participant. */
export function tonesOf(index) {
  if (index >= PAIRS_MAX) throw new RangeError(`there are tones for ${PAIRS_MAX} participants`);
  return { left: FIRST_HZ + 2 * index * STEP_HZ, right: FIRST_HZ + (2 * index + 1) * STEP_HZ };
}

/** Every frequency that anyone may play. */
export const FREQUENCIES = Array.from({ length: PAIRS_MAX }, (_, index) => tonesOf(index)).flatMap(({ left, right }) => [left, right]);

/** The frequencies that a channel holds. */
export function heard(levels) {
  return FREQUENCIES.filter((_, place) => levels[place] > HEARD_DB);
}
