// The page of a collection: pictures are put in order by dragging, or by the buttons below each.
import Sortable from "sortablejs";
import { gettext, interpolate } from "../i18n.js";
import { announce, show, toast } from "../toasts.js";
import "../undo.js";
import "../watch.js";

const list = document.querySelector("[data-arrange]");
/** The last move, which can be undone: the tile, the one it stood behind, and the toast that tells of it. */
let move = {};
let heldBehind = null;

if (list) {
  // by pointer events, which fingers have too
  Sortable.create(list, {
    draggable: ".arranged-tile",
    handle: ".arranged-image",
    ghostClass: "arranged-ghost",
    animation: matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 150,
    forceFallback: true,
    fallbackTolerance: 4,
    delay: 200,
    delayOnTouchOnly: true,
    onChoose: ({ item }) => (heldBehind = previous(item)),
    onEnd: ({ item, oldIndex, newIndex }) => oldIndex !== newIndex && keep(item, heldBehind, neighbourOf(item)),
  });
  list.addEventListener("submit", (event) => {
    if (event.target.matches("[data-place]")) step(event);
  });
  document.addEventListener("assets-changed", ({ detail: { act, ids } }) => {
    if (act === "undo" && ids?.includes(Number(move.tile?.dataset.id))) putBack(move);
  });
}

const next = (tile) => tile.nextElementSibling?.closest(".arranged-tile");
const previous = (tile) => tile.previousElementSibling?.closest(".arranged-tile");

/** Next to which one it stands now. */
function neighbourOf(tile) {
  return next(tile) ? { before: next(tile).dataset.id } : { after: previous(tile).dataset.id };
}

function step(event) {
  const tile = event.target.closest(".arranged-tile");
  const button = event.submitter;
  const where = button.value;
  const isFirstPage = !new URLSearchParams(location.search).has("after");
  const former = previous(tile);
  const beside = { start: isFirstPage && list.firstElementChild, earlier: former, later: next(tile) }[where];
  if (!beside && (where === "later" || !isFirstPage)) return; // it goes to another page, which the server shows
  event.preventDefault();
  if (!beside || beside === tile) return; // it is at that end
  if (where === "later") beside.after(tile);
  else beside.before(tile);
  button.focus();
  keep(tile, former, { step: where });
}

async function keep(tile, former, where) {
  const tokens = tile.querySelector("[name=csrfmiddlewaretoken]").value;
  const response = await fetch(list.dataset.arrange, {
    method: "POST",
    headers: { "X-CSRFToken": tokens, "HX-Request": "true", "HX-Current-URL": location.href },
    body: new URLSearchParams({ asset: tile.dataset.id, ...where }),
  }).catch(() => null);
  if (!response?.ok) return toast(response?.headers.get("X-Detail") ?? gettext("The move was not saved. Reload the page and try again."), "error");
  announce(told(tile));
  move.toast?.remove();
  move = { tile, former, toast: show(await response.text()) };
}

function putBack({ tile, former }) {
  if (former) former.after(tile);
  else list.prepend(tile);
  tile.querySelector("button").focus();
}

function told(tile) {
  const tiles = [...list.querySelectorAll(".arranged-tile")];
  return interpolate(gettext("Moved to place %(place)s of those shown."), { place: tiles.indexOf(tile) + 1 });
}
