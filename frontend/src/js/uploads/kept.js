// What outlives a page: which uploads are unfinished, in a place that one tab at a time has, and what became of others.

const MOST_TABS = 8;
const KEPT_OUTCOMES = 500;

export const panel = document.getElementById("uploads"); // null for who is not signed in
const prefix = `uploads-${panel?.dataset.user}-`; // nobody goes on with the uploads of another
const places = Array.from({ length: MOST_TABS }, (_, number) => prefix + number);

/** Whether a database is of somebody's uploads. */
export const isPlace = ({ name }) => /^uploads-\d+-\d+$/.test(name);

export const hasSomething = () => Boolean(panel) && (places.some(unfinished) || recallOutcomes().length > 0);

/** How many uploads of a place are unfinished. */
export const unfinished = (place) => Number(guarded(() => localStorage.getItem(place))) || 0;
export const noteUnfinished = (place, count) => guarded(() => localStorage.setItem(place, count));

/** One that no other tab has: this tab's own, for which it waits until the signal; one where uploads were left; any. */
export async function takePlace(signal) {
  if (!navigator.locks) return places[0]; // by plain HTTP; what two tabs send twice the server knows to be identical
  const own = guarded(() => sessionStorage.getItem(`${prefix}place`));
  const isOwn = unfinished(own) > 0 && (await isTaken(own, { signal })); // the page before this one lets go of it
  const taken = isOwn ? own : await anyPlace();
  guarded(() => sessionStorage.setItem(`${prefix}place`, taken));
  return taken;
}

async function anyPlace() {
  for (const place of [...places.filter(unfinished), ...places])
    if (await isTaken(place, { ifAvailable: true })) return place;
  return places.at(-1);
}

/** Whether it is ours now, for as long as the page is there. */
function isTaken(place, options) {
  return new Promise((resolve) => {
    const hold = (lock) => {
      resolve(Boolean(lock));
      return lock && new Promise(() => {});
    };
    navigator.locks.request(place, options, hold).catch(() => resolve(false));
  });
}

// --- outcomes, for as long as the tab is there -----------------------------------------------------------------------

export const recallOutcomes = () => guarded(() => JSON.parse(sessionStorage.getItem(`${prefix}outcomes`))) ?? [];
export const keepOutcomes = (outcomes) =>
  guarded(() => sessionStorage.setItem(`${prefix}outcomes`, JSON.stringify(outcomes.slice(-KEPT_OUTCOMES))));

/** A choice of the reader's, such as paused: true or false. */
export const recallChoice = (name) => guarded(() => sessionStorage.getItem(prefix + name)) === "yes";
export const keepChoice = (name, chosen) => guarded(() => sessionStorage.setItem(prefix + name, chosen ? "yes" : "no"));

/** A browser may forbid storage, and others may have written there. */
function guarded(act) {
  try {
    return act();
  } catch {
    return null;
  }
}
