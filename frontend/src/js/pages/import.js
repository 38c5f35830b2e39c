// The import page: a ZIP file may take minutes to send, so its reader sees how far it is.
import { gettext, interpolate } from "../i18n.js";
import { toast } from "../toasts.js";

const TOO_LARGE = 413;

document.addEventListener("change", ({ target }) => {
  if (!target.matches("#import [name=archive]")) return;
  const { maxMegabytes } = target.form.dataset;
  const isTooLarge = [...target.files].some(({ size }) => size > maxMegabytes * 1e6);
  const words = interpolate(gettext("The file is too large; at most %(most)s MB are taken."), { most: maxMegabytes });
  target.setCustomValidity(isTooLarge ? words : "");
  target.reportValidity();
});

document.addEventListener("htmx:xhr:progress", ({ target, detail: { loaded, total } }) => {
  if (!target.matches("#import") || !target.elements.archive.files.length) return;
  const [words, bar] = target.querySelectorAll("[data-sending]");
  words.hidden = bar.hidden = false;
  bar.value = total ? loaded / total : 0;
  const share = `${Math.floor((100 * loaded) / total)} %`;
  words.textContent = loaded < total ? interpolate(gettext("Sending: %(share)s"), { share }) : gettext("Checking");
});

// Sent twice, it would be imported twice.
document.addEventListener("htmx:beforeRequest", ({ target }) => lock(target, true));
document.addEventListener("htmx:afterRequest", ({ target }) => lock(target, false));

function lock(form, isLocked) {
  if (!form.matches("#import")) return;
  form.querySelector("[type=submit]").disabled = isLocked;
  if (!isLocked) for (const shown of form.querySelectorAll("[data-sending]")) shown.hidden = true;
}

// Refused before the form was read: it stays as it is.
document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr, target } = event.detail;
  if (xhr.status !== TOO_LARGE || !target.matches("#import")) return;
  event.detail.shouldSwap = event.detail.isError = false;
  toast(isJson(xhr) ? JSON.parse(xhr.responseText).detail : xhr.responseText, "error");
});

function isJson(xhr) {
  return xhr.getResponseHeader("Content-Type")?.startsWith("application/json");
}
