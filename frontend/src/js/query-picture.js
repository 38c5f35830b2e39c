// The page that compares: a picture is dropped, pasted or chosen, and stays in place while the rest is changed.
import { onFiles } from "./drop.js";
import { gettext } from "./i18n.js";
import { isTyping } from "./keyboard.js";
import { askOnce } from "./once.js";

const page = document.getElementById("search");
const form = page.querySelector("form");
const { image, asset, query } = form.elements;
const picture = document.getElementById("picture");
const pictureName = document.getElementById("picture-name");
const results = document.getElementById("results");
const clear = form.querySelector("[data-clear]");
const narrow = window.matchMedia("(max-width: 700px)");

let isNewPicture = false;

form.querySelector("[data-no-script]").remove();

onFiles(([file]) => {
  const transfer = new DataTransfer();
  transfer.items.add(file);
  image.files = transfer.files;
  image.dispatchEvent(new Event("change", { bubbles: true })); // htmx listens at the form
});

image.addEventListener("change", () => {
  const [file] = image.files;
  if (!file) return;
  show(file);
  isNewPicture = true;
});

// Back from an asset, a browser that kept the form but not the page is asked again.
window.addEventListener("pageshow", () => {
  if (image.files.length && picture.hidden) image.dispatchEvent(new Event("change", { bubbles: true }));
});

function show(file) {
  URL.revokeObjectURL(picture.src);
  picture.removeAttribute("width"); // those of the asset that stood here
  picture.removeAttribute("height");
  picture.src = URL.createObjectURL(file);
  picture.alt = gettext("The picture searched with");
  picture.hidden = false;
  pictureName.textContent = file.name;
  asset.value = "";
  query.value = "";
  page.dataset.asked = "";
  clear.hidden = false;
}

// Formats that the server reads and this browser does not: the name has to do.
picture.addEventListener("error", () => (picture.hidden = true));

// Without a picture, filters alone ask nothing; pressing Enter does, and is told what is missing.
form.addEventListener("htmx:configRequest", (event) => {
  const isSubmit = event.detail.triggeringEvent?.type === "submit";
  if (!isSubmit && !image.files.length && !asset.value && !query.value) event.preventDefault();
});
askOnce(form);

results.addEventListener("htmx:afterSwap", () => {
  if (isNewPicture && narrow.matches) results.scrollIntoView();
  isNewPicture = false;
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !clear.hidden && !isTyping(event.target)) clear.click();
});
