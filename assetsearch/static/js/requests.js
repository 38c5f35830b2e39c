// What every request by htmx does: rests while nobody looks, puts errors into words, keeps addresses short.
import { announce, toast } from "./toasts.js";

const isPoll = (element) => Boolean(element.getAttribute("hx-trigger")?.startsWith("every"));

document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden && isPoll(event.detail.elt)) event.preventDefault();
});

document.addEventListener("htmx:configRequest", (event) => {
  const { elt, parameters } = event.detail;
  if (!elt.matches("[data-tidy]")) return;
  for (const [name, value] of Object.entries(parameters)) if (value === "") delete parameters[name];
});

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
  if (!isPoll(elt)) toast(xhr.getResponseHeader("X-Detail") ?? wordsFor(xhr.status), "error");
});

document.addEventListener("htmx:sendError", (event) => {
  if (!isPoll(event.detail.elt)) toast("The server cannot be reached. Check the connection and try again.", "error");
});

function wordsFor(status) {
  if (status === 403) return "The page was open for too long, or this is not yours to change. Reload it and try again.";
  if (status === 404) return "It is not there any more. Reload the page.";
  if (status === 413) return "The file is too large for the server.";
  return `Something went wrong on the server (${status}). Try again in a moment.`;
}
