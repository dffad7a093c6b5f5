// Waiting for what is to become true, instead of sleeping for as long as it usually takes.

/** A busy machine may take long; a test that waits this long in vain has failed. */
const PATIENCE_MS = 60_000;
const INTERVAL_MS = 150;

/**
 * Asks again and again until `condition` gives something truthy without throwing, and gives that back. An
 * `AssertionError`, or any other, is what it fails with in the end.
 */
export async function eventually(what, condition, patienceMs = PATIENCE_MS) {
  const deadline = Date.now() + patienceMs;
  let last;
  for (;;) {
    try {
      const outcome = await condition();
      if (outcome) return outcome;
      last = `it gave ${JSON.stringify(outcome)}`;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) throw new Error(`waited in vain until ${what}`, { cause: last });
    await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS));
  }
}

/** Checks that something holds at several looks in a row, `INTERVAL_MS` and more apart. */
export async function steadily(looks, check) {
  for (let look = 0; look < looks; look++) {
    await check(look);
    await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS));
  }
}
