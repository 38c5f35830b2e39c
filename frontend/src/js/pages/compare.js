// The page that compares: 1, 2 and 3 mark the better, N goes on to another asset.
import { onKey } from "../keyboard.js";
import "../query-picture.js";

const form = document.querySelector("#search form");
const another = form.querySelector("[data-another]");
const clear = form.querySelector("[data-clear]");

onKey("n", () => another.click());
for (const key of ["1", "2", "3"]) onKey(key, () => form.parentElement.querySelector(`#mark [data-hotkey="${key}"]`)?.click());

// Both keep what is chosen now, not what was chosen when the page was made.
for (const link of [another, clear]) {
  link.addEventListener("click", () => {
    const chosen = [...new FormData(form)].filter(([name]) => ["left", "right", "k", "blind"].includes(name));
    link.search = new URLSearchParams(chosen);
  });
}
