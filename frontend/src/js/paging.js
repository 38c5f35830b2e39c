// Pages of a long list, one after the other: the address is that of the page in sight, so that a reload, a bookmark or the
// way back leads there again. Earlier pages come when one scrolls up, without moving what is in sight.

import htmx from "htmx.org";

const list = document.getElementById("assets");
const header = document.querySelector(".header");
/** Room above the list, within which scrolling up fetches the page before. */
const NEAR_PX = 400;

let scheduled = false;
let scrolledTo = window.scrollY;

window.addEventListener("scroll", () => {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    const isUp = window.scrollY < scrolledTo;
    scrolledTo = window.scrollY;
    showAddress();
    if (isUp && scrolledTo < NEAR_PX) wantEarlier();
  });
});

// At the very top nothing scrolls, but one may want to.
window.addEventListener("wheel", ({ deltaY }) => deltaY < 0 && window.scrollY === 0 && wantEarlier(), { passive: true });
document.addEventListener("keydown", ({ key }) => {
  if (["ArrowUp", "PageUp", "Home"].includes(key) && window.scrollY === 0) wantEarlier();
});

function wantEarlier() {
  const earlier = list.querySelector(".earlier:not(.htmx-request)");
  if (earlier) htmx.trigger(earlier, "wanted");
}

function showAddress() {
  const begun = [...list.querySelectorAll("[data-page]")];
  const line = header.getBoundingClientRect().bottom + window.innerHeight / 3;
  const page = begun.findLast((tile) => tile.getBoundingClientRect().top < line) ?? begun[0];
  if (page) replaceAddress(page.dataset.page);
}

function replaceAddress(query, hash = "") {
  const address = `${window.location.pathname}${query ? `?${query}` : ""}${hash}`;
  if (address !== `${window.location.pathname}${window.location.search}${window.location.hash}`)
    window.history.replaceState(window.history.state, "", address);
}

// Whoever comes back from an asset finds it in sight.
list.addEventListener("click", ({ target }) => {
  const tile = target.closest(".tile");
  const page = tile && [...list.querySelectorAll("[data-page]")].findLast((first) => !isAfter(first, tile));
  if (page && target.closest("a")) replaceAddress(page.dataset.page, `#${tile.id}`);
});

const isAfter = (one, other) => Boolean(other.compareDocumentPosition(one) & Node.DOCUMENT_POSITION_FOLLOWING);

// What comes later fills the last row, unless that is in sight, or may be before it is drawn, since one scrolls on: then
// it stays as it is, and the next begins another.
list.addEventListener("htmx:beforeSwap", ({ target, detail }) => {
  if (!target.matches(".more") || !detail.shouldSwap) return;
  const end = target.previousElementSibling;
  if (end.getBoundingClientRect().top > 2 * window.innerHeight) end.remove();
  else target.before(Object.assign(document.createElement("li"), { className: "row-break", ariaHidden: "true" }));
});

// What is put before the tile in sight must not move it: an earlier page, or what is new, which whoever looks at the
// beginning is to see.
list.addEventListener("htmx:beforeSwap", ({ target, detail }) => {
  if (!target.matches(".earlier, [data-filters]") || !detail.shouldSwap) return;
  const anchor = list.querySelector(".tile");
  const { top } = anchor.getBoundingClientRect();
  const isHeld = target.matches(".earlier") || top < header.getBoundingClientRect().bottom;
  list.addEventListener(
    "htmx:afterSwap",
    () => {
      removeMonthsTwice();
      if (isHeld) window.scrollBy({ top: anchor.getBoundingClientRect().top - top, behavior: "instant" });
    },
    { once: true },
  );
});

/** With the end of the row before it, which would take the room of the row that comes after it now. */
function removeWithEnd(heading) {
  heading.previousElementSibling.remove();
  heading.remove();
}

/** The page that was first says its month, and so may the end of the one that came before it. */
function removeMonthsTwice() {
  let former = null;
  for (const heading of list.querySelectorAll(".month")) {
    if (heading.dataset.month === former) removeWithEnd(heading);
    former = heading.dataset.month;
  }
}
