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

async function show(link) {
  const view = await import("./lightbox/view.js");
  view.open(link);
}

onEntry((facts) => {
  const links = [...document.querySelectorAll("a[data-lightbox]")];
  const link = links.find(({ dataset }) => dataset.facts === facts);
  if (link?.checkVisibility()) show(link).catch(() => {}); // the page is there, whatever shows pictures is not
});
