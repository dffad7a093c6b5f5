// Who plays which tones, and what was heard of them.

/** No multiple of one tone is another, since 700 is no multiple of 130: an overtone is never taken for someone's tone. */
const FIRST_HZ = 700;
/** Twenty-two bins of the analysers; the window of each reaches three. */
const STEP_HZ = 130;
const PAIRS_MAX = 20;

/** A tone this strong is heard: one that is played arrives at about −26 dB, and what leaks beside it is under −80. */
const HEARD_DB = -45;

/** The tones of what the n-th participant lets hear. */
export function tonesOf(index, source = 'mic') {
  // One half of the pairs is for microphones, the other for the sound of screens.
  if (index >= PAIRS_MAX / 2) throw new RangeError(`there are tones for ${PAIRS_MAX / 2} participants`);
  return pairOf(source === 'mic' ? index : index + PAIRS_MAX / 2);
}

function pairOf(place) {
  return { left: FIRST_HZ + 2 * place * STEP_HZ, right: FIRST_HZ + (2 * place + 1) * STEP_HZ };
}

/** Every frequency that anyone may play. */
export const FREQUENCIES = Array.from({ length: PAIRS_MAX }, (_, place) => pairOf(place)).flatMap(({ left, right }) => [left, right]);

/** The frequencies that a channel holds. */
export function heard(levels) {
  return FREQUENCIES.filter((_, place) => levels[place] > HEARD_DB);
}
