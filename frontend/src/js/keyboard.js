// Keys that do something wherever nothing is being typed. Pages add theirs; assetsearch/keys.py tells people of all.

const acts = new Map();

/** `act(event)` is called when the key is pressed; one that does something prevents what the browser would do. */
export function onKey(key, act) {
  acts.set(key, act);
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
// A step up or down goes to the next row rather than to what lies straighter in one beyond.
const ALONG = 4;

const TYPED_INTO = "input:not([type=checkbox], [type=radio], [type=file]), select, textarea, [contenteditable]";

export const isTyping = (target) => Boolean(target.closest(TYPED_INTO));

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat && !(event.key in ARROWS)) return;
  if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
  acts.get(event.key)?.(event);
});

// What is one line, however many it is shown on.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.isComposing || !event.target.matches("[data-one-line]")) return;
  event.preventDefault();
  event.target.form.requestSubmit();
});

onKey("?", showKeys);
onKey("/", focusTextSearch);
for (const arrow of Object.keys(ARROWS)) onKey(arrow, moveInGrid);

function showKeys(event) {
  const keys = document.querySelector("[data-keys]"); // a window for choosing has none
  if (!keys) return;
  event.preventDefault();
  keys.click();
}

function focusTextSearch(event) {
  const field = document.querySelector('[data-hotkey="/"]');
  if (!field) return;
  event.preventDefault();
  field.focus();
  field.select();
}

function moveInGrid(event) {
  const from = event.target.closest("[data-grid] > li");
  const isNowhere = event.target === document.body;
  const [right] = ARROWS[event.key];
  if (!from && !(isNowhere && right)) return; // up and down scroll, as they do everywhere
  const to = from ? nearest(from, ARROWS[event.key]) : firstInSight();
  if (from || to) event.preventDefault();
  to?.querySelector("a").focus();
}

const hasPicture = (item) => !item.hidden && item.querySelector("a");

function firstInSight() {
  const items = [...document.querySelectorAll("[data-grid] > li")].filter(hasPicture);
  return items.find((item) => item.getBoundingClientRect().top >= 0);
}

/** Sideways in reading order, over the ends of rows; up and down to what is nearest there. */
function nearest(from, [right, down]) {
  const items = [...from.parentElement.children].filter(hasPicture);
  if (right) return items[items.indexOf(from) + right];
  const here = centre(from);
  let best = null;
  let least = Infinity;
  for (const item of items) {
    const there = centre(item);
    const along = (there.y - here.y) * down;
    const distance = ALONG * along + Math.abs(there.x - here.x);
    if (along > 1 && distance < least) [best, least] = [item, distance];
  }
  return best;
}

function centre(item) {
  const box = item.getBoundingClientRect();
  return { x: box.left + box.width / 2, y: box.top + box.height / 2 };
}
