// A small picture of each file in sight, one after the other, so that many cost no more than a few.

const SIDE_PX = 96;
const fileOf = new WeakMap();
const waiting = new Set();
let isDrawing = false;

const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) waiting.add(target);
    else waiting.delete(target);
  }
  drawNext();
});

/** Draws the file into the place once that comes into sight. */
export function preview(place, file) {
  fileOf.set(place, file);
  seen.observe(place);
}

async function drawNext() {
  const [place] = waiting;
  if (isDrawing || !place) return;
  isDrawing = true;
  waiting.delete(place);
  seen.unobserve(place);
  await draw(place);
  isDrawing = false;
  setTimeout(drawNext);
}

async function draw(place) {
  try {
    // decoded and made small beside the page's own thread
    const bitmap = await createImageBitmap(fileOf.get(place), { resizeHeight: SIDE_PX, resizeQuality: "low" });
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = SIDE_PX;
    const scale = Math.max(1, SIDE_PX / bitmap.width);
    const [width, height] = [bitmap.width * scale, bitmap.height * scale];
    canvas.getContext("2d").drawImage(bitmap, (SIDE_PX - width) / 2, (SIDE_PX - height) / 2, width, height);
    bitmap.close();
    place.replaceChildren(canvas);
  } catch {
    // this browser cannot show it; whether the server can read it, the row will say
  }
}
