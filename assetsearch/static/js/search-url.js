// The search page, by the address of a picture: the server fetches it, and what it sends back of it is shown in place.

const form = document.querySelector("#search form");
const { url, image, asset } = form.elements;
const picture = document.getElementById("picture");
const pictureName = document.getElementById("picture-name");
const clear = form.querySelector("[data-clear]");
const results = document.getElementById("results");
const narrow = window.matchMedia("(max-width: 700px)");

// Only the last that was given counts.
url?.addEventListener("input", () => {
  if (!url.value.trim()) return;
  image.value = "";
  asset.value = "";
});
image.addEventListener("change", () => {
  if (url && image.files.length) url.value = "";
});

// By itself, Enter changes the field and submits the form, and the server would fetch the picture for each.
url?.addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  event.preventDefault();
  form.requestSubmit();
});

show();
results.addEventListener("htmx:afterSwap", show);

function show() {
  const fetched = results.querySelector("[data-fetched]");
  if (fetched) showFetched(fetched);
  else if (url?.value.trim() && !image.files.length && !asset.value) hide(); // what stood here is not what was refused
}

function showFetched(fetched) {
  const { src, alt } = fetched.querySelector("img");
  const isNew = picture.src !== src;
  picture.removeAttribute("width"); // those of the asset that stood here
  picture.removeAttribute("height");
  Object.assign(picture, { src, alt, hidden: false });
  pictureName.textContent = fetched.textContent.trim();
  form.parentElement.dataset.asked = "";
  clear.hidden = false;
  fetched.remove();
  if (isNew && narrow.matches) results.scrollIntoView();
}

function hide() {
  picture.hidden = true;
  pictureName.textContent = "";
}
