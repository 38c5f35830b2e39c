// An asset's page: arrows turn to its neighbours, the checksum can be copied.
import { isTyping } from "./keyboard.js";
import { toast } from "./toasts.js";

const TURNS = { ArrowLeft: "prev", ArrowRight: "next" };

document.addEventListener("keydown", (event) => {
  const { key, target, defaultPrevented, altKey, ctrlKey, metaKey } = event;
  if (defaultPrevented || altKey || ctrlKey || metaKey || !(key in TURNS)) return;
  if (isTyping(target) || document.querySelector("dialog[open]")) return;
  document.querySelector(`a[rel=${TURNS[key]}]`)?.click();
});

// Browsers offer a clipboard over HTTPS and on the same machine only.
for (const button of navigator.clipboard ? document.querySelectorAll("[data-copy]") : []) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.dataset.copy);
    toast("Copied.");
  });
}
