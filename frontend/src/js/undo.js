// What is undone from a toast: in place, so that the page keeps its place and what is selected. "assets-changed" tells what
// was, and to which. One that lists no pictures is loaded anew.
import htmx from "htmx.org";

document.addEventListener("submit", (event) => {
  const form = event.target.closest("[data-undo]");
  if (!form || !document.querySelector("[data-asset], #assets, [data-arrange]")) return;
  event.preventDefault();
  const done = ({ detail }) => detail.successful && form.closest(".toast").remove(); // else it can be tried again
  form.addEventListener("htmx:afterRequest", done, { once: true });
  const undone = htmx.ajax("POST", form.action, { source: form, target: "#toasts", swap: "beforeend" });
  undone.catch(() => {}); // a message has told
});
