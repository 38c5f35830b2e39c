// Selecting pictures, wherever items carry data-asset: by their check, ctrl or shift and click, a long press, a band drawn
// from empty space, or keys. What is selected stays so while more is loaded. A form [data-bulk] acts on it. Where a list
// says by which filters it is made [data-filters], all that match can be selected, loaded or not.
import { gettext, interpolate, ngettext } from "./i18n.js";
import { isTyping } from "./keyboard.js";
import { onBand } from "./rubber-band.js";
import { wordsFor } from "./send.js";
import { announce, toast } from "./toasts.js";

const LONG_PRESS_MS = 500;
const MOVED_PX = 10;

const ids = new Set();
let matching = null; // all that match: the query, and their count; what of them is loaded is among the ids
let anchor = null;

const isOfUse = () => document.querySelector("[data-bulk]") !== null; // what is selected can be acted on
const items = () => (isOfUse() ? [...document.querySelectorAll("[data-asset]:not([hidden])")] : []);
const itemAt = (target) => (isOfUse() ? target.closest?.("[data-asset]") : null);

/** The ids, in the order in which they were selected. */
export const selected = () => [...ids];
/** Whether all that match are selected, and not these ids alone. */
export const isAllMatching = () => matching !== null;

/** Those that are gone, or all. */
export function deselect(gone = selected()) {
  gone.forEach((id) => ids.delete(String(id)));
  document.querySelectorAll("[data-asset]").forEach(mark); // hidden ones as well, which may come back
  anchor = null;
  matching = null;
  tell();
}

// --- what is selected ----------------------------------------------------------------------------------------

function change(changed, isSelected) {
  for (const item of changed) {
    if (isSelected) ids.add(item.dataset.asset);
    else ids.delete(item.dataset.asset);
    mark(item);
  }
  matching = null;
  tell();
}

function mark(item) {
  const isSelected = ids.has(item.dataset.asset);
  item.classList.toggle("selected", isSelected);
  const check = item.querySelector("[data-check]");
  if (check) check.checked = isSelected;
}

function toggle(item) {
  anchor = item;
  change([item], !ids.has(item.dataset.asset));
}

function selectTo(item) {
  const all = items();
  const ends = [all.indexOf(anchor ?? item), all.indexOf(item)].sort((a, b) => a - b);
  anchor ??= item;
  change(all.slice(Math.max(ends[0], 0), ends[1] + 1), true);
}

function tell() {
  document.documentElement.classList.toggle("selecting", ids.size > 0);
  const said = matching
    ? counted(ngettext("%(count)s that matches", "All %(count)s that match", matching.count), matching.count)
    : counted(ngettext("%(count)s selected", "%(count)s selected", ids.size), ids.size);
  for (const bar of document.querySelectorAll("[data-bulk]")) {
    bar.classList.toggle("shown", ids.size > 0);
    bar.querySelector("[data-count]").textContent = said;
    offerMore(bar.querySelector("[data-select-more]"));
  }
}

const counted = (text, count) => interpolate(text, { count: count.toLocaleString(document.documentElement.lang) });

// What comes in later may have been selected before: a page loaded twice, a filter taken back.
document.addEventListener("htmx:load", ({ target }) => {
  if (!ids.size) return;
  if (matching && list()?.dataset.filters === matching.query) selectLoaded();
  else matching = null;
  const came = target.matches("[data-asset]") ? [target] : target.querySelectorAll("[data-asset]");
  came.forEach(mark);
  tell();
});

// The browser checks boxes again when it goes back to a page.
window.addEventListener("pageshow", () => {
  const checked = items().filter((item) => item.querySelector("[data-check]")?.checked);
  change(checked, true);
});

// --- all that match ------------------------------------------------------------------------------------------

const list = () => document.querySelector("[data-filters]");
const isAllLoaded = () => !list()?.querySelector(":scope > :is(.more, .earlier)");

/** First what is loaded, and once that is selected what else matches. */
function offerMore(button) {
  const isLoadedSelected = items().every(({ dataset }) => ids.has(dataset.asset));
  button.hidden = Boolean(matching) || (isLoadedSelected && isAllLoaded());
  const total = Number(document.querySelector("[data-total]")?.dataset.total);
  if (!isLoadedSelected) button.textContent = gettext("Select all shown");
  else if (!total) button.textContent = gettext("Select all that match");
  else button.textContent = counted(gettext("Select all %(count)s that match"), total);
  button.value = isLoadedSelected ? "matching" : "loaded";
}

/** With their count at this moment, which what is done with them is held to. */
async function selectMatching(address) {
  const query = list().dataset.filters;
  const answer = await fetch(`${address}?${query}`, { headers: { Accept: "application/json" } }).catch(() => null);
  if (!answer?.ok) return toast(wordsFor({ status: answer?.status ?? 0, text: "" }), "error");
  const { count } = await answer.json();
  if (list()?.dataset.filters !== query) return; // the filters are others by now
  matching = { query, count };
  selectLoaded();
  tell();
  announce(document.querySelector("[data-bulk] [data-count]").textContent);
}

function selectLoaded() {
  ids.clear();
  for (const item of items()) {
    ids.add(item.dataset.asset);
    mark(item);
  }
}

document.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-select-more]");
  if (button?.value === "matching") selectMatching(button.dataset.selectMore);
  else if (button) change(items(), true);
});

// The server counts others than it was told, and has done nothing.
document.addEventListener("matching-changed", ({ detail: { count } }) => {
  if (!matching) return;
  matching.count = count;
  if (count) tell();
  else deselect();
});

// --- pointers ------------------------------------------------------------------------------------------------

// Before anything else hears of the click: a lightbox would open.
document.addEventListener(
  "click",
  (event) => {
    const item = itemAt(event.target);
    if (!item) return;
    const isCheck = event.target.matches("[data-check]");
    const isPicture = event.target.closest("a:has(img)");
    const isAsked = event.shiftKey || event.ctrlKey || event.metaKey || ids.size > 0;
    if (!isCheck && !(isPicture && isAsked)) return;
    event.stopPropagation();
    if (isPicture) event.preventDefault();
    if (event.shiftKey) selectTo(item);
    else toggle(item);
  },
  true,
);

let pressed = null;

document.addEventListener("pointerdown", (event) => {
  const item = itemAt(event.target);
  endPress(); // a second finger is no press
  if (event.pointerType !== "touch" || !event.isPrimary || !item) return;
  const timer = setTimeout(() => {
    pressed.isLong = true;
    toggle(item);
  }, LONG_PRESS_MS);
  pressed = { timer, x: event.clientX, y: event.clientY, isLong: false };
});

document.addEventListener("pointermove", (event) => {
  if (pressed && Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y) > MOVED_PX) endPress();
});

for (const type of ["pointerup", "pointercancel"]) document.addEventListener(type, endPress);

function endPress() {
  clearTimeout(pressed?.timer);
  if (pressed?.isLong) swallowClick();
  pressed = null;
}

/** The click that follows a long press would take back what the press did. */
function swallowClick() {
  const swallow = (event) => {
    event.preventDefault();
    event.stopImmediatePropagation();
  };
  window.addEventListener("click", swallow, { capture: true, once: true });
  setTimeout(() => window.removeEventListener("click", swallow, { capture: true }), LONG_PRESS_MS);
}

document.addEventListener("contextmenu", (event) => {
  if (pressed && itemAt(event.target)) event.preventDefault();
});

let before = new Set();

onBand({
  items,
  begin: (isAdding) => {
    before = isAdding ? new Set(ids) : new Set();
  },
  draw: (inside) => {
    const wanted = new Set([...before, ...inside.map((item) => item.dataset.asset)]);
    const changed = items().filter(({ dataset }) => wanted.has(dataset.asset) !== ids.has(dataset.asset));
    change(changed.filter(({ dataset }) => wanted.has(dataset.asset)), true);
    change(changed.filter(({ dataset }) => !wanted.has(dataset.asset)), false);
  },
});

// --- keys ----------------------------------------------------------------------------------------------------

document.addEventListener("keydown", (event) => {
  if (event.altKey || isTyping(event.target) || document.querySelector("dialog[open], .pswp")) return;
  const item = itemAt(event.target);
  if (event.key === "Escape" && ids.size) deselect();
  else if (event.key === "a" && (event.ctrlKey || event.metaKey)) selectAll(event);
  else if (event.ctrlKey || event.metaKey || !item) return;
  else if (event.key === "x" || (event.key === " " && !event.target.matches("[data-check], button"))) {
    event.preventDefault();
    toggle(item);
  } else if (event.shiftKey && event.key.startsWith("Arrow")) extend(item);
});

function selectAll(event) {
  const all = items();
  if (!all.length) return;
  event.preventDefault();
  change(all, true);
  announce(gettext("Everything that is loaded is selected."));
}

/** The arrow has moved the focus already. */
function extend(from) {
  anchor ??= from;
  const to = itemAt(document.activeElement);
  if (to) selectTo(to);
}

// --- the form that acts on it --------------------------------------------------------------------------------

document.addEventListener("formdata", ({ target, formData }) => {
  if (!target.matches("[data-bulk]")) return;
  formData.set("ids", matching ? "" : selected().join(","));
  if (!matching) return;
  formData.set("matching", matching.query);
  formData.set("count", matching.count);
});

document.addEventListener("click", ({ target }) => {
  if (target.closest("[data-clear-selection]")) deselect();
});
