// Short messages at the edge of the page. Errors stay until they are closed, and those that can be undone are not hurried.
import { gettext } from "./i18n.js";

const SHOWN_MS = 6000;
const UNDOABLE_MS = 20_000;
const toasts = document.getElementById("toasts");

/** With a button to try again, where `retry` is what that does. What is said again is said once. */
export function toast(text, kind = "", retry = null) {
  for (const former of [...toasts.children]) if (former.dataset.said === text) former.remove();
  const message = document.createElement("div");
  message.className = `toast ${kind}`;
  message.textContent = message.dataset.said = text;
  if (retry) message.append(retryButton(message, retry));
  toasts.append(message);
  arm(message);
}

function retryButton(message, retry) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "link";
  button.textContent = gettext("Retry");
  button.addEventListener("click", () => {
    message.remove();
    retry();
  });
  return button;
}

function arm(message) {
  message.removeAttribute("data-toast");
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = "×";
  close.setAttribute("aria-label", gettext("Close"));
  close.addEventListener("click", () => message.remove());
  message.append(close);
  if (!message.classList.contains("error")) removeInTime(message);
}

/** Not while somebody is at it. */
function removeInTime(message) {
  const shownMs = message.querySelector("[data-undo]") ? UNDOABLE_MS : SHOWN_MS;
  let timer;
  const wait = () => {
    clearTimeout(timer);
    if (!message.matches(":hover, :focus-within")) timer = setTimeout(() => message.remove(), shownMs);
  };
  for (const type of ["pointerenter", "focusin"]) message.addEventListener(type, () => clearTimeout(timer));
  for (const type of ["pointerleave", "focusout"]) message.addEventListener(type, wait);
  wait();
}

/** What the server says, as a fragment of it. The last of them, if any. */
export function show(fragment) {
  const before = toasts.lastElementChild;
  toasts.insertAdjacentHTML("beforeend", fragment);
  armAll();
  return toasts.lastElementChild === before ? null : toasts.lastElementChild;
}

const armAll = () => toasts.querySelectorAll("[data-toast]").forEach(arm);
armAll();
document.addEventListener("htmx:load", armAll); // a fragment brings its own

/** Says something to those who listen instead of looking. */
export function announce(text) {
  document.getElementById("announcer").textContent = text;
}
