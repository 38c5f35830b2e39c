// An asset's page: arrows turn to its neighbours, the checksum can be copied, what is undone shows at once.
import htmx from "htmx.org";
import "../bulk.js";
import { gettext } from "../i18n.js";
import { isTyping } from "../keyboard.js";
import { toast } from "../toasts.js";

const TURNS = { ArrowLeft: "prev", ArrowRight: "next" };

document.addEventListener("keydown", (event) => {
  const { key, target, defaultPrevented, altKey, ctrlKey, metaKey } = event;
  if (defaultPrevented || altKey || ctrlKey || metaKey || !(key in TURNS)) return;
  if (isTyping(target) || document.querySelector("dialog[open], .pswp")) return;
  document.querySelector(`a[rel=${TURNS[key]}]`)?.click();
});

// A title changed in place is the page's as well.
document.addEventListener("htmx:load", ({ target }) => {
  if (target.matches("#about")) document.title = `${target.querySelector("h1").textContent} · AssetSearch`;
});

document.addEventListener("assets-changed", ({ detail: { act } }) => {
  const about = document.querySelector("form#about");
  if (act === "undo" && about) htmx.ajax("GET", about.action, { target: about, swap: "outerHTML" });
});

// Browsers offer a clipboard over HTTPS and on the same machine only.
for (const button of navigator.clipboard ? document.querySelectorAll("[data-copy]") : []) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.dataset.copy);
    toast(gettext("Copied."));
  });
}
