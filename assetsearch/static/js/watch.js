// Asks after the pending badges in sight, all at once. The answer replaces those that are pending no more.

const MOST = 100; // so that the address stays short

document.addEventListener("htmx:configRequest", (event) => {
  if (!event.detail.elt.matches("[data-watch]")) return;
  const ids = pendingInSight();
  if (ids.length === 0) event.preventDefault();
  event.detail.parameters.ids = ids.join();
});

function pendingInSight() {
  const badges = [...document.querySelectorAll("[data-pending]")].filter(isNear);
  return badges.slice(0, MOST).map((badge) => badge.dataset.pending);
}

function isNear(element) {
  const { top, bottom } = element.getBoundingClientRect();
  return bottom > -window.innerHeight && top < 2 * window.innerHeight;
}
