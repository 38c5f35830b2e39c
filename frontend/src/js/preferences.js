// Theme and language apply as they are chosen; without script, a button sends them.

for (const form of document.querySelectorAll("[data-preference]")) {
  form.querySelector("[data-no-script]").remove();
  form.addEventListener("change", () => form.requestSubmit());
}
