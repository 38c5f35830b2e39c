// The entry of the browser's history in which a picture is open over its page: Back closes it, Forward opens it again, and
// however else it is closed, the entry is left. Turning to other pictures adds none.

const SETTLED_MS = 300; // browsers refuse to note dozens of pictures that somebody turns through in a second

let here = history.state; // of the entry at hand: `page` is shared by those of a page and of pictures over it
let leave = null;

/** `show(picture)` is called where the browser comes to an entry in which one was open, by a reload as well. */
export function onEntry(show) {
  // Before htmx, which listens once the document is there, and would load the page again that has been there all the while.
  window.addEventListener("popstate", (event) => {
    if (here?.page && here.page === event.state?.page) event.stopImmediatePropagation();
    here = event.state;
    leave?.();
    if (here?.lightbox) show(here.lightbox);
  });
  if (here?.lightbox) show(here.lightbox);
}

/** Resolves once the entry is left, and the page is where it was scrolled to. */
export function keepEntry(lightbox, picture) {
  if (!here?.lightbox) {
    here = { ...history.state, page: history.state?.page ?? Date.now() };
    history.replaceState(here, "");
    here = { ...here, lightbox: picture };
    history.pushState(here, "");
  }
  let settling;
  lightbox.on("change", () => {
    clearTimeout(settling);
    settling = setTimeout(() => {
      if (leave) history.replaceState({ ...here, lightbox: lightbox.currSlide.data.facts }, "");
    }, SETTLED_MS);
  });
  lightbox.on("close", () => leave && history.back());

  return new Promise((resolve) => {
    leave = () => {
      leave = null;
      close(lightbox);
      setTimeout(resolve);
    };
  });
}

/** While it opens, it does not let itself be closed. */
function close(lightbox) {
  if (lightbox.opener.isOpening) lightbox.on("openingAnimationEnd", () => lightbox.close());
  else lightbox.close();
}
