// "/" goes to the text search; arrows go through a grid as it is seen.

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
// A step sideways stays in its row rather than jumping to what is nearer in the next.
const ACROSS = 4;

const TYPED_INTO = "input:not([type=checkbox], [type=radio], [type=file]), select, textarea, [contenteditable]";

export const isTyping = (target) => Boolean(target.closest(TYPED_INTO));

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.key === "/" && !isTyping(event.target)) return focusTextSearch(event);
  if (event.key in ARROWS && !isTyping(event.target)) moveInGrid(event);
});

function focusTextSearch(event) {
  const field = document.querySelector('[data-hotkey="/"]');
  if (!field) return;
  event.preventDefault();
  field.focus();
  field.select();
}

function moveInGrid(event) {
  const from = event.target.closest("[data-grid] > li");
  if (!from) return;
  const to = nearest(from, ARROWS[event.key]);
  event.preventDefault();
  to?.querySelector("a").focus();
}

function nearest(from, [right, down]) {
  const here = centre(from);
  let best = null;
  let least = Infinity;
  for (const item of from.parentElement.children) {
    const there = centre(item);
    const [dx, dy] = [there.x - here.x, there.y - here.y];
    const [along, across] = right ? [dx * right, dy] : [dy * down, dx];
    const distance = along + ACROSS * Math.abs(across);
    if (along > 1 && item.querySelector("a") && distance < least) [best, least] = [item, distance];
  }
  return best;
}

function centre(item) {
  const box = item.getBoundingClientRect();
  return { x: box.left + box.width / 2, y: box.top + box.height / 2 };
}
