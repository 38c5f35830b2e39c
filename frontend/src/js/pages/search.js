// The search page. Whenever the picture changes, all of it is swapped; where filters change, the results alone.
import "../bulk.js";
import { onFiles } from "../drop.js";
import { isTyping } from "../keyboard.js";
import { askOnce } from "../once.js";
import { searchWithMany } from "../search-with.js";
import { drawRegions } from "../region.js";
import { deselect, selected } from "../selection.js";
import { announce } from "../toasts.js";

const narrow = window.matchMedia("(max-width: 700px)");
const page = () => document.getElementById("search");

onFiles(([file]) => {
  const { image } = document.getElementById("picture-form").elements;
  const transfer = new DataTransfer();
  transfer.items.add(file);
  image.files = transfer.files;
  image.dispatchEvent(new Event("change", { bubbles: true })); // htmx listens at the form
});

attach(page());
document.addEventListener("htmx:load", ({ detail: { elt } }) => {
  if (elt.id !== "search") return;
  attach(elt);
  deselect();
  const results = document.getElementById("results");
  const said = results.querySelector("[data-announce]")?.dataset.announce;
  if (said) announce(said);
  if (document.activeElement === document.body) results.focus({ preventScroll: true }); // what had it is gone
  if (narrow.matches && "asked" in elt.dataset) results.scrollIntoView();
});

function attach(search) {
  const filters = search.querySelector("#filters");
  askOnce(filters);
  const form = search.querySelector("#picture-form");
  const picture = search.querySelector("#picture");
  form.elements.image.addEventListener("change", () => preview(form, picture));
  // Formats that the server reads and this browser does not: the name has to do.
  picture.addEventListener("error", () => (picture.hidden = true));
  for (const element of search.querySelectorAll("[data-needs-script]")) element.hidden = false;
  const frame = search.querySelector("[data-region]");
  if (frame) drawRegions(frame, search.querySelector("#crop"), () => filters.dispatchEvent(new Event("change")));
}

function preview(form, picture) {
  const [file] = form.elements.image.files;
  if (!file) return;
  if (form.elements.url) form.elements.url.value = "";
  picture.removeAttribute("width"); // those of what stood here
  picture.removeAttribute("height");
  picture.src = URL.createObjectURL(file);
  picture.hidden = false;
  picture.nextElementSibling.hidden = true; // the region of what stood here, or the invitation
  document.getElementById("picture-name").textContent = file.name;
}

document.addEventListener("htmx:configRequest", (event) => {
  const { elt, parameters, triggeringEvent } = event.detail;
  const pictures = elt.id === "picture-form" ? [...elt.elements.image.files] : [];
  if (pictures.length > 1) {
    event.preventDefault();
    elt.elements.image.value = ""; // so that the same can be chosen again
    searchWithMany(pictures);
    return;
  }
  // Filters may have changed since the page was made; its address always tells how they stand.
  if (elt.matches("#picture-form, #add-form")) parameters.here = here(elt);
  // Without a picture, filters alone ask nothing; pressing Enter does, and is told what is missing.
  if (elt.id === "filters" && triggeringEvent?.type !== "submit" && !parameters.asset && !parameters.query) event.preventDefault();
});

function here(form) {
  const asked = new URLSearchParams(location.search);
  if (form.id === "picture-form") for (const name of ["asset", "query", "crop", "plus", "minus"]) asked.delete(name);
  return asked.toString();
}

document.addEventListener("keydown", beginAnew, { capture: true }); // before a selection is gone by the same key

function beginAnew(event) {
  const isTaken = selected().length || isTyping(event.target) || event.target.closest("[data-region]");
  if (event.key !== "Escape" || isTaken || document.querySelector("dialog[open], details[open] summary:focus, .pswp")) return;
  page().querySelector("[data-clear]")?.click();
}

// Several lines pasted into the field for one address are as many pictures.
document.addEventListener("paste", (event) => {
  if (!event.target.matches("#picture-form [name=url]")) return;
  const lines = event.clipboardData.getData("text/plain").split("\n").map((line) => line.trim());
  const addresses = lines.filter(Boolean);
  if (addresses.length < 2) return;
  event.preventDefault();
  searchWithMany(addresses);
});
