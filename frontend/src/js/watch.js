// Asks after the pending badges, all at once. The answer replaces those that are pending no more.

const MOST = 100; // so that the address stays short

document.addEventListener("htmx:configRequest", (event) => {
  if (!event.detail.elt.matches("[data-watch]")) return;
  const ids = pendingIds();
  if (ids.length === 0) event.preventDefault();
  event.detail.parameters.ids = ids.join();
});

/** Those in sight first, where there are too many: to look costs a layout of the page. */
function pendingIds() {
  const badges = [...document.querySelectorAll("[data-pending]")];
  const ids = idsOf(badges);
  return ids.length > MOST ? idsOf([...badges.filter(isNear), ...badges]).slice(0, MOST) : ids;
}

function idsOf(badges) {
  return [...new Set(badges.map((badge) => badge.dataset.pending))];
}

function isNear(element) {
  const { top, bottom } = element.getBoundingClientRect();
  return bottom > -window.innerHeight && top < 2 * window.innerHeight;
}
