// Pictures open over the page: links with data-lightbox, also those that come later. What shows them is loaded when the
// first is opened; without it, or without script, the link leads to the picture's page.
import { onEntry } from "./lightbox/entry.js";

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[data-lightbox]");
  const asksForPage = event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
  if (!link || event.defaultPrevented || asksForPage) return;
  event.preventDefault();
  show(link).catch(() => location.assign(link.href));
});

let shown = null; // the link whose picture is to open, while what shows it is loaded

async function show(link) {
  const isFirst = !shown;
  shown = link;
  if (!isFirst) return; // a double click opens one, and the last of several
  try {
    const view = await import("./lightbox/view.js");
    view.open(shown);
  } finally {
    shown = null;
  }
}

onEntry((facts) => {
  const links = [...document.querySelectorAll("a[data-lightbox]")];
  const link = links.find(({ dataset }) => dataset.facts === facts);
  if (link?.checkVisibility()) show(link).catch(() => {}); // the page is there, whatever shows pictures is not
});
