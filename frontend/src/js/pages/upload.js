// The upload page: what is said of files before they are chosen, dropped or pasted. The panel shows the rest.
import { onFiles } from "../drop.js";
import { onChosen } from "../pictures-form.js";
import { upload } from "../uploader.js";

const form = document.getElementById("upload");
const { collection, tags, look } = form.elements;

form.querySelector("[data-no-script]").remove();
for (const scripted of form.querySelectorAll("[data-script]")) scripted.hidden = false;
form.addEventListener("submit", (event) => event.preventDefault());
for (const input of form.querySelectorAll("[type=file]")) onChosen(input, take);
onFiles(take, { to: "upload" });

function take(files) {
  upload(files, { collection: collection.value, tags: tags.value, looks: look.checked });
}
