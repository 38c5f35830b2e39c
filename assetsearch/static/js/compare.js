// The page that compares: 1, 2 and 3 mark the better, N goes on to another asset.
import { isTyping } from "./keyboard.js";

const form = document.querySelector("#search form");
const another = form.querySelector("[data-another]");
const clear = form.querySelector("[data-clear]");

document.addEventListener("keydown", (event) => {
  const { key, target, repeat, altKey, ctrlKey, metaKey } = event;
  if (repeat || altKey || ctrlKey || metaKey || isTyping(target) || document.querySelector("dialog[open]")) return;
  const pressed = key.toLowerCase() === "n" ? another : form.parentElement.querySelector(`#mark [data-hotkey="${CSS.escape(key)}"]`);
  pressed?.click();
});

// Both keep what is chosen now, not what was chosen when the page was made.
for (const link of [another, clear]) {
  link.addEventListener("click", () => {
    const chosen = [...new FormData(form)].filter(([name]) => ["left", "right", "k", "blind"].includes(name));
    link.search = new URLSearchParams(chosen);
  });
}
