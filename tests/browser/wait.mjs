// Waiting on conditions. Every wait says what it waited for, and what it saw last.

/** How long anything may take on a slow and busy machine before a test gives up, in milliseconds. */
export const PATIENCE = 60_000;

const turn = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Asks until the answer holds, and gives it. An error counts as not yet. */
export async function until(what, ask, patience = PATIENCE) {
  const end = Date.now() + patience;
  let last;
  for (;;) {
    try {
      last = await ask();
      if (last) return last;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) {
      const seen = last instanceof Error ? last.message : JSON.stringify(last);
      throw new Error(`never saw: ${what}; last: ${seen}`);
    }
    await turn(50);
  }
}
