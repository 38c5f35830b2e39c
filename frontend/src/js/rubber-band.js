// A band drawn with the mouse from empty space among pictures: whatever it touches is inside.

const STARTS_PX = 6;
const EDGE_PX = 48;
const EMPTY = "main, main :is(section, div, ul, ol)";

let band = null;

/** `items()`: what can be inside. `begin(isAdding)`: one is drawn. `draw(inside)`: these are inside now. */
export function onBand(options) {
  document.addEventListener("pointerdown", (event) => {
    const isOurs = event.button === 0 && event.pointerType === "mouse" && event.target.matches(EMPTY);
    if (!isOurs || !options.items().length) return;
    const isAdding = event.shiftKey || event.ctrlKey || event.metaKey;
    band = { ...options, isAdding, from: onPage(event), at: event, box: null };
  });
}

document.addEventListener("pointermove", (event) => {
  if (!band) return;
  band.at = event;
  const { from } = band;
  const to = onPage(event);
  if (!band.box && Math.hypot(to.x - from.x, to.y - from.y) > STARTS_PX) start();
});

for (const type of ["pointerup", "pointercancel"]) {
  document.addEventListener(type, () => {
    band?.box?.remove();
    band = null;
  });
}

document.addEventListener("selectstart", (event) => {
  if (band) event.preventDefault();
});

const onPage = ({ clientX, clientY }) => ({ x: clientX + window.scrollX, y: clientY + window.scrollY });

function start() {
  band.box = document.createElement("div");
  band.box.className = "band";
  document.body.append(band.box);
  band.begin(band.isAdding);
  requestAnimationFrame(draw);
}

function draw() {
  if (!band) return;
  scrollAtEdge(band.at.clientY);
  const area = rectangle(band.from, onPage(band.at));
  Object.assign(band.box.style, {
    left: `${area.left - window.scrollX}px`,
    top: `${area.top - window.scrollY}px`,
    width: `${area.right - area.left}px`,
    height: `${area.bottom - area.top}px`,
  });
  band.draw(band.items().filter((item) => touches(item.getBoundingClientRect(), area)));
  requestAnimationFrame(draw);
}

function rectangle(a, b) {
  const [left, right] = [Math.min(a.x, b.x), Math.max(a.x, b.x)];
  const [top, bottom] = [Math.min(a.y, b.y), Math.max(a.y, b.y)];
  return { left, right, top, bottom };
}

function touches(box, area) {
  const [x, y] = [window.scrollX, window.scrollY];
  return (
    box.left + x < area.right && box.right + x > area.left && box.top + y < area.bottom && box.bottom + y > area.top
  );
}

function scrollAtEdge(y) {
  const beyond = Math.max(y - (window.innerHeight - EDGE_PX), 0) - Math.max(EDGE_PX - y, 0);
  if (beyond) window.scrollBy(0, beyond / 2);
}
