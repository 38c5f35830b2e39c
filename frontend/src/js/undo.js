// What is undone from a toast: in place, so that the page keeps its place and what is selected. "assets-changed" tells what
// was, and to which. One that lists no pictures is loaded anew.
import htmx from "htmx.org";

document.addEventListener("submit", (event) => {
  const form = event.target.closest("[data-undo]");
  if (!form || !document.querySelector("[data-asset], #assets, [data-arrange]")) return;
  event.preventDefault();
  htmx.ajax("POST", form.action, { source: form, target: "#toasts", swap: "beforeend" }).then(() => {
    form.closest(".toast").remove();
  });
});
