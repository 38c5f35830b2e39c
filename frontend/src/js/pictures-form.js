// The form that asks for pictures, as files and as addresses. By script they are taken as soon as they are chosen.
import { gettext } from "./i18n.js";
import { toast } from "./toasts.js";

/** Calls `take` with an array of files, or of addresses. */
export function takeFrom(form, take) {
  const { picture, urls } = form.elements;
  const submit = form.querySelector("[type=submit]");

  onChosen(picture, take);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const addresses = urls.value.split("\n").map((line) => line.trim());
    urls.value = "";
    const given = addresses.filter(Boolean);
    if (given.length) take(given);
    else toast(gettext("Choose pictures, or give the addresses of some."));
  });
  urls.closest("details").append(submit); // it is for addresses alone: files are taken as they are chosen
}

/** Calls `take` with the files that are chosen here, those too that were before the script of the page came. */
export function onChosen(input, take) {
  const given = () => {
    const files = [...input.files];
    input.value = ""; // so that the same files can be chosen again
    if (files.length) take(files);
  };
  input.addEventListener("change", given);
  queueMicrotask(given); // after the module whose `take` it is
}
