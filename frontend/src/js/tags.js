// Names of tags are offered while one types, in every field [data-tag-names], which says where to ask for them. A field may
// hold several, separated by commas: the one that the cursor stands in is completed. Without script it is a field of text.
import { gettext, interpolate, ngettext } from "./i18n.js";
import { announce } from "./toasts.js";

const FIELD = "input[data-tag-names]";
const ASKED_AFTER_MS = 150;
const GAP_PX = 4;
const TALLEST_PX = 280;

const offered = document.createElement("ul");
offered.id = "offered-tags";
offered.className = "offered";
offered.setAttribute("role", "listbox");

let field = null; // whose list is shown
let timer = 0;
let asking = new AbortController();

document.addEventListener("htmx:load", ({ target }) => {
  if (field && !field.isConnected) close();
  for (const one of target.matches(FIELD) ? [target] : target.querySelectorAll(FIELD)) {
    one.setAttribute("role", "combobox");
    one.setAttribute("aria-autocomplete", "list");
    one.setAttribute("aria-expanded", "false");
  }
});

// --- asking --------------------------------------------------------------------------------------------------

document.addEventListener("input", ({ target, isComposing }) => {
  if (target.matches(FIELD) && !isComposing) askSoon(target);
});
document.addEventListener("compositionend", ({ target }) => target.matches(FIELD) && askSoon(target));

function askSoon(asked) {
  clearTimeout(timer);
  asking.abort(); // what it answers is of what stood there before
  if (wordOf(asked).text) timer = setTimeout(ask, ASKED_AFTER_MS, asked);
  else close();
}

async function ask(asked) {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  const names = await namesFor(asked, signal);
  if (!signal.aborted && document.activeElement === asked) show(asked, names);
}

/** None that stands in the field already: a list of what is typed in full would only lie over what is clicked next. */
async function namesFor(asked, signal) {
  const { text, others } = wordOf(asked);
  const there = new Set([text.toLowerCase(), ...others]);
  try {
    const address = `${asked.dataset.tagNames}?${new URLSearchParams({ q: text })}`;
    const answer = await fetch(address, { signal, headers: { Accept: "application/json" } });
    const names = answer.ok ? await answer.json() : [];
    return names.filter((name) => !there.has(name.toLowerCase()));
  } catch {
    return []; // what is typed is taken all the same
  }
}

/** What stands between the commas around the cursor: where, as text, and beside which others. */
function wordOf({ value, selectionStart }) {
  const begin = value.slice(0, selectionStart).lastIndexOf(",") + 1;
  const next = value.indexOf(",", selectionStart);
  const end = next < 0 ? value.length : next;
  const others = `${value.slice(0, begin)},${value.slice(end)}`.split(",");
  return { begin, end, text: value.slice(begin, end).trim(), others: others.map((name) => name.trim().toLowerCase()) };
}

// --- the list ------------------------------------------------------------------------------------------------

function show(asked, names) {
  if (!names.length) return close();
  field = asked;
  offered.setAttribute("aria-label", gettext("Tags"));
  offered.replaceChildren(...names.map(option));
  (field.closest("dialog") ?? document.body).append(offered); // beside an open dialog nothing can be reached
  field.setAttribute("aria-controls", offered.id);
  field.setAttribute("aria-expanded", "true");
  field.removeAttribute("aria-activedescendant");
  place();
  const said = ngettext("%(count)s tag is offered", "%(count)s tags are offered", names.length);
  announce(interpolate(said, { count: names.length }));
}

function option(name, number) {
  const item = document.createElement("li");
  item.id = `offered-tag-${number}`;
  item.setAttribute("role", "option");
  item.setAttribute("aria-selected", "false");
  item.textContent = name;
  return item;
}

/** Below the field, or above it where there is more room. */
function place() {
  if (!field) return;
  const { left, top, bottom, width } = field.getBoundingClientRect();
  const below = window.innerHeight - bottom;
  const isAbove = top > below && below < Math.min(offered.scrollHeight, TALLEST_PX) + 2 * GAP_PX;
  Object.assign(offered.style, {
    left: `${left}px`,
    width: `${width}px`,
    top: isAbove ? "auto" : `${bottom + GAP_PX}px`,
    bottom: isAbove ? `${window.innerHeight - top + GAP_PX}px` : "auto",
    maxHeight: `${Math.min((isAbove ? top : below) - 2 * GAP_PX, TALLEST_PX)}px`,
  });
}

window.addEventListener("resize", place);
document.addEventListener("scroll", place, { capture: true, passive: true });

function close() {
  clearTimeout(timer);
  asking.abort();
  offered.remove();
  field?.setAttribute("aria-expanded", "false");
  field?.removeAttribute("aria-controls");
  field?.removeAttribute("aria-activedescendant");
  field = null;
}

const active = () => offered.querySelector('[aria-selected="true"]');

function activate(item) {
  active()?.setAttribute("aria-selected", "false");
  item.setAttribute("aria-selected", "true");
  item.scrollIntoView({ block: "nearest" });
  field.setAttribute("aria-activedescendant", item.id);
}

/** Takes the place of what was typed. Whoever listens for a change hears of it at once. */
function choose(name) {
  const { value } = field;
  const { begin, end } = wordOf(field);
  const chosen = `${value.slice(0, begin)}${begin ? " " : ""}${name}`;
  field.value = chosen + value.slice(end);
  field.setSelectionRange(chosen.length, chosen.length);
  const changed = field;
  close();
  changed.dispatchEvent(new Event("change", { bubbles: true }));
}

// --- keys and pointers ---------------------------------------------------------------------------------------

const acts = {
  ArrowDown: () => step(1),
  ArrowUp: () => step(-1),
  Enter: () => active() && choose(active().textContent),
  Escape: close,
};

function step(by) {
  const { children } = offered;
  const here = [...children].indexOf(active());
  const from = here < 0 && by < 0 ? 0 : here;
  activate(children[(from + by + children.length) % children.length]);
}

// Before anything else hears of the key: a form would be sent, a dialog or a menu close.
document.addEventListener(
  "keydown",
  (event) => {
    const { key, target, isComposing } = event;
    if (isComposing || !target.matches?.(FIELD)) return;
    if (target !== field) {
      if (key === "ArrowDown") ask(target);
      return;
    }
    if (!(key in acts) || (key === "Enter" && !active())) return;
    event.preventDefault();
    event.stopPropagation();
    acts[key]();
  },
  { capture: true },
);

document.addEventListener("focusout", ({ target }) => target === field && close());
offered.addEventListener("mousedown", (event) => event.preventDefault()); // the field keeps the focus
offered.addEventListener("click", (event) => {
  event.stopPropagation(); // a menu that the field is in stays open
  const item = event.target.closest("li");
  if (item) choose(item.textContent);
});
