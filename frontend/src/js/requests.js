// What every request by htmx does: rests while nobody looks, puts errors into words, keeps addresses short.
import htmx from "htmx.org";
import { gettext } from "./i18n.js";
import { wordsFor } from "./send.js";
import { announce, toast } from "./toasts.js";

const FIRST_PAUSE_MS = 1000;

const isPoll = (element) => Boolean(element.getAttribute("hx-trigger")?.startsWith("every"));
/** Asked by itself, and told of before. */
const isQuiet = (element) => isPoll(element) || "pauseMs" in element.dataset;

document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden && isPoll(event.detail.elt)) event.preventDefault();
});

document.addEventListener("htmx:configRequest", (event) => {
  const { elt, parameters } = event.detail;
  if (!elt.matches("[data-tidy]")) return;
  for (const [name, value] of Object.entries(parameters)) {
    const said = [value].flat().filter((one) => one !== "");
    if (!said.length) delete parameters[name];
    else if (Array.isArray(value)) parameters[name] = said;
  }
});

// Counts that come late are of the filters as they were, and would take back what was chosen since.
for (const changes of ["change", "input"]) {
  document.addEventListener(
    changes,
    ({ target }) => {
      const counts = target.closest("form")?.querySelector(".facets");
      if (counts) htmx.trigger(counts, "htmx:abort");
    },
    { capture: true },
  );
}

// A refusal is worded for the reader and takes the place of what was asked for.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (!event.detail.xhr.getResponseHeader("X-Refused")) return;
  event.detail.shouldSwap = true;
  event.detail.isError = false;
});

document.addEventListener("htmx:afterSwap", (event) => {
  const said = event.detail.target.querySelector?.("[data-announce]")?.dataset.announce;
  if (said) announce(said);
});

document.addEventListener("htmx:responseError", (event) => {
  const { xhr, elt } = event.detail;
  const told = xhr.getResponseHeader("X-Detail");
  if (!isQuiet(elt)) toast(told ?? wordsFor({ status: xhr.status, text: xhr.responseText }), "error");
});

// What comes in as one scrolls, htmx asks for but once: where that fails, it is asked for again after longer and longer.
for (const failed of ["htmx:responseError", "htmx:sendError"]) {
  document.addEventListener(failed, ({ detail: { elt } }) => {
    if (elt.matches(".more")) setTimeout(() => armAnew(elt), Number(elt.dataset.pauseMs ?? FIRST_PAUSE_MS));
  });
}

function armAnew(more) {
  const anew = more.cloneNode(true);
  anew.dataset.pauseMs = 2 * (more.dataset.pauseMs ?? FIRST_PAUSE_MS);
  more.replaceWith(anew);
  htmx.process(anew);
}

document.addEventListener("htmx:sendError", ({ detail: { elt } }) => {
  const retry = elt.matches("form") ? () => elt.requestSubmit() : null;
  if (!isQuiet(elt)) toast(gettext("The server cannot be reached. Retry when it is back."), "error", retry);
});
