// What follows when many pictures were changed at once, or when that was undone: deleted ones leave the page, and come back.
import { recount, refreshList } from "./fresh.js";
import { isTyping } from "./keyboard.js";
import { deselect, isAllMatching, selected } from "./selection.js";
import "./undo.js";

document.addEventListener("assets-changed", ({ detail: { act, ids } }) => {
  document.querySelectorAll("[data-bulk] details").forEach((menu) => menu.removeAttribute("open"));
  if (act) document.querySelectorAll("[data-bulk] details input").forEach((field) => (field.value = ""));
  const isGone = act === "delete";
  const isBack = act === "undo" || act === "restore";
  if (isGone && (!ids || isAllMatching())) {
    deselect();
    refreshList();
  } else if (isBack && !ids?.some(isHere)) refreshList();
  else {
    if (isGone || isBack) show(ids, isBack);
    if (act) recount();
  }
});

// Others match than were counted: here they are.
document.addEventListener("matching-changed", refreshList);

const isHere = (id) => document.querySelector(`[data-asset="${id}"]`);

function show(ids, isShown) {
  for (const id of ids)
    for (const item of document.querySelectorAll(`[data-asset="${id}"]`)) item.hidden = !isShown;
  if (!isShown) deselect(ids);
}

// Enter does what its own menu is for; a browser would press the first button of the whole bar.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.isComposing || event.defaultPrevented) return;
  const menu = event.target.matches("[data-bulk] :is(input, select)") && event.target.closest("details");
  if (!menu) return;
  event.preventDefault();
  menu.querySelector("[type=submit]").click();
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Delete" || !selected().length || isTyping(event.target)) return;
  if (!document.querySelector("dialog[open], .pswp")) document.querySelector('[data-bulk] [value="delete"]')?.click();
});
