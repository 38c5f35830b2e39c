// Keeps a form from asking the same twice: a field's `change` may come long after its `input` was answered.

/** For a form that htmx sends as soon as it changes. What it shows at first counts as answered. */
export function askOnce(form) {
  let answered = describe(form);

  form.addEventListener("htmx:configRequest", (event) => {
    if (event.target !== form) return; // a part of it asks for itself
    const asked = describe(form);
    const isSubmit = event.detail.triggeringEvent?.type === "submit";
    if (asked === answered && !isSubmit) event.preventDefault();
    else answered = asked;
  });
  form.addEventListener("htmx:afterRequest", (event) => {
    if (event.target === form && !event.detail.successful) answered = ""; // so that it can be tried again
  });
}

function describe(form) {
  const parts = [...new FormData(form)].map(([name, value]) =>
    value instanceof File ? [name, value.name, value.size, value.lastModified] : [name, value],
  );
  return JSON.stringify(parts);
}
