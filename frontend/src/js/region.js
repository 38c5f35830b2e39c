// A box on the picture that is searched with: drawn, moved and resized with a pointer, or by keys.

const REACH_PX = { mouse: 8, pen: 12, touch: 20 };
const LEAST = 0.03; // of a side; a smaller box is a slip of the hand
const STEP = 0.02;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const CURSORS = { "-1,-1": "nwse", "1,1": "nwse", "1,-1": "nesw", "-1,1": "nesw", "-1,0": "ew", "1,0": "ew", "0,-1": "ns", "0,1": "ns" };
const UNHURRIED_MS = 500; // between the last key and the search

/** `field` holds the region as "x,y,w,h"; `search()` is called when it has changed. */
export function drawRegions(frame, field, search) {
  const image = frame.querySelector("img");
  const [shade, outline] = frame.querySelectorAll("path");
  let box = parse(field.value);
  let waiting;

  frame.tabIndex = 0;
  frame.setAttribute("role", "application");
  frame.setAttribute("aria-label", frame.dataset.regionLabel);
  frame.addEventListener("pointerdown", press);
  frame.addEventListener("pointermove", (event) => (frame.style.cursor = cursor(grip(event))));
  frame.addEventListener("keydown", type);
  field.addEventListener("change", () => {
    show(parse(field.value));
    search();
  });
  show(box);

  function press(event) {
    if (event.button !== 0 || event.pointerType === "touch" && !box && !event.isPrimary) return;
    event.preventDefault();
    frame.focus({ preventScroll: true });
    frame.setPointerCapture(event.pointerId);
    const from = point(event);
    const held = grip(event);
    const before = box;
    const drag = (moved) => show(dragged(before, held, from, point(moved)));
    frame.addEventListener("pointermove", drag);
    frame.addEventListener("pointercancel", () => finish(before), { once: true });
    frame.addEventListener("pointerup", () => finish(box && box.w >= LEAST && box.h >= LEAST ? box : before), { once: true });

    function finish(now) {
      frame.removeEventListener("pointermove", drag);
      show(now);
      if (text(now) !== text(before)) apply();
    }
  }

  function type(event) {
    if (event.key === "Delete" || event.key === "Backspace" || event.key === "Escape" && box) show(null);
    else if (event.key in ARROWS) show(nudged(box, ARROWS[event.key], event.shiftKey));
    else return;
    event.preventDefault();
    event.stopPropagation(); // Escape would begin anew
    clearTimeout(waiting);
    waiting = setTimeout(apply, UNHURRIED_MS);
  }

  function apply() {
    field.value = text(box);
    search();
  }

  function show(next) {
    box = next;
    const path = box ? `M${box.x} ${box.y}h${box.w}v${box.h}h${-box.w}Z` : "";
    outline.setAttribute("d", path);
    shade.setAttribute("d", path && `M0 0H1V1H0Z${path}`);
  }

  /** Where the pointer is in the picture, in parts of its sides. */
  function point({ clientX, clientY }) {
    const { left, top, width, height } = shown();
    return { x: within((clientX - left) / width), y: within((clientY - top) / height) };
  }

  /** The picture on the screen: it may be narrower, or lower, than its element. */
  function shown() {
    const frame = image.getBoundingClientRect();
    const [wide, high] = [image.getAttribute("width"), image.getAttribute("height")].map(Number);
    const scale = Math.min(frame.width / wide, frame.height / high);
    const [width, height] = [wide * scale, high * scale];
    return { left: frame.left + (frame.width - width) / 2, top: frame.top + (frame.height - height) / 2, width, height };
  }

  /** What of the box is under the pointer: an edge or a corner by its direction, [0, 0] for its inside. */
  function grip(event) {
    if (!box) return null;
    const { width, height } = shown();
    const reach = REACH_PX[event.pointerType] ?? REACH_PX.mouse;
    const { x, y } = point(event);
    const across = side(x, box.x, box.w, reach / width);
    const down = side(y, box.y, box.h, reach / height);
    return across === null || down === null ? null : [across, down];
  }
}

function side(at, start, length, reach) {
  if (at < start - reach || at > start + length + reach) return null;
  if (at > start + length - reach) return 1;
  return at < start + reach ? -1 : 0;
}

function cursor(held) {
  if (!held) return "crosshair";
  return held.some(Boolean) ? `${CURSORS[held]}-resize` : "move";
}

function dragged(box, held, from, to) {
  if (!held) return between(from, to);
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  if (!held.some(Boolean)) return { ...box, x: clamp(box.x + dx, 0, 1 - box.w), y: clamp(box.y + dy, 0, 1 - box.h) };
  const [left, right] = moved(held[0], box.x, box.x + box.w, dx);
  const [top, bottom] = moved(held[1], box.y, box.y + box.h, dy);
  return between({ x: left, y: top }, { x: right, y: bottom });
}

function moved(which, low, high, by) {
  return [which < 0 ? within(low + by) : low, which > 0 ? within(high + by) : high];
}

function nudged(box, [right, down], resizes) {
  if (!box) return { x: 0.25, y: 0.25, w: 0.5, h: 0.5 };
  const [dx, dy] = [right * STEP, down * STEP];
  if (!resizes) return { ...box, x: clamp(box.x + dx, 0, 1 - box.w), y: clamp(box.y + dy, 0, 1 - box.h) };
  return { ...box, w: clamp(box.w + dx, LEAST, 1 - box.x), h: clamp(box.h + dy, LEAST, 1 - box.y) };
}

const between = (a, b) => ({
  x: Math.min(a.x, b.x),
  y: Math.min(a.y, b.y),
  w: Math.abs(a.x - b.x),
  h: Math.abs(a.y - b.y),
});
const clamp = (number, least, most) => Math.min(Math.max(number, least), most);
const within = (number) => clamp(number, 0, 1);

function parse(value) {
  const [x, y, w, h] = value.split(",").map(Number);
  return w > 0 && h > 0 && [x, y].every(Number.isFinite) ? { x, y, w, h } : null;
}

/** To a ten-thousandth, rounded so that the box stays inside. */
function text(box) {
  if (!box) return "";
  const [x, y] = [box.x, box.y].map((at) => Math.round(at * 1e4));
  const [w, h] = [Math.min(Math.round(box.w * 1e4), 1e4 - x), Math.min(Math.round(box.h * 1e4), 1e4 - y)];
  return [x, y, w, h].map((part) => part / 1e4).join(",");
}
