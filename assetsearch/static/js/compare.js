// The page that compares: 1, 2 and 3 mark the better, N goes on to another asset.
import { isTyping } from "./keyboard.js";

document.addEventListener("keydown", (event) => {
  const { key, target, altKey, ctrlKey, metaKey } = event;
  if (altKey || ctrlKey || metaKey || isTyping(target)) return;
  const pressed = key.toLowerCase() === "n" ? "[data-another]" : `#mark [data-hotkey="${CSS.escape(key)}"]`;
  document.querySelector(pressed)?.click();
});
