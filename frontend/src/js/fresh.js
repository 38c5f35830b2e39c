// The list of the gallery and what is counted beside it, as they are at this moment.
import htmx from "htmx.org";

/** From the page in sight on. */
export async function refreshList() {
  const list = document.getElementById("assets");
  if (!list) return;
  await htmx.ajax("GET", location.pathname + location.search, { source: list, target: list });
  recount();
}

/** What was counted some seconds ago would do, had nobody changed anything here. */
export function recount() {
  htmx.trigger(document.body, "narrowed", { isAnew: true });
}

document.addEventListener("htmx:configRequest", ({ detail: { headers, triggeringEvent } }) => {
  if (triggeringEvent?.detail?.isAnew) headers["Cache-Control"] = "no-cache";
});
