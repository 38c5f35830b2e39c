// What was just uploaded shows at the top of the gallery. Where other pictures are shown, a button leads there.
import htmx from "htmx.org";
import { recount, refreshList } from "./fresh.js";
import { interpolate, ngettext } from "./i18n.js";
import { announce } from "./toasts.js";

const list = document.getElementById("assets");
const sort = document.getElementById("sort");
const button = document.querySelector("[data-newest]");

let unseen = 0;
let shown = Promise.resolve();

document.addEventListener("assets-added", ({ detail: { ids } }) => {
  recount();
  // one lot after the other; of one that is not to be had, a message has told
  shown = shown.then(() => show(ids.length)).catch(() => {});
});

async function show(count) {
  if (list.querySelector(".first-run")) await refreshList();
  else if (beginsWithNewest()) await putFirst();
  else offer(count);
}

function beginsWithNewest() {
  const tiles = list.querySelector("[data-filters]");
  return tiles?.dataset.filters === "" && sort.selectedIndex === 0 && !tiles.querySelector(":scope > .earlier");
}

/** All that are newer than the first: the page before it. */
async function putFirst() {
  const tiles = list.querySelector("[data-filters]");
  const first = tiles.querySelector("[data-page]");
  const address = `${location.pathname}?before=${first.dataset.asset}`;
  await htmx.ajax("GET", address, { source: tiles, target: tiles, swap: "afterbegin" });
  if (tiles.querySelector(":scope > .earlier")) return; // more than a page
  tiles.querySelector("[data-page]").dataset.page = first.dataset.page; // the list begins there now
  if (tiles.querySelector("[data-page]") !== first) first.removeAttribute("data-page");
}

function offer(count) {
  unseen += count;
  button.textContent = interpolate(ngettext("%(count)s new: show", "%(count)s new: show", unseen), { count: unseen });
  button.hidden = false;
  announce(button.textContent);
}

// Other filters, or none: they may be among what is shown.
list.addEventListener("htmx:afterSettle", ({ detail: { target } }) => {
  if (target !== list || !beginsWithNewest()) return;
  unseen = 0;
  button.hidden = true;
});
