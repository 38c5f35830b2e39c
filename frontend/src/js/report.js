// A report that is being made: begun on the server, empty, before its pictures are sent to it one by one.
import htmx from "htmx.org";
import { send, wordsFor } from "./send.js";
import { toast } from "./toasts.js";

/** The address of a new report. Rejects where there is none, and has then said why. */
export async function beginReport(endpoint) {
  const answer = await send(endpoint, new FormData(), { headers: { Accept: "application/json" } });
  if (answer.status === 201) return JSON.parse(answer.text).url;
  toast(wordsFor(answer), "error");
  throw new Error("No report was begun.");
}

/** A section that was answered, in the order of the pictures; gives its element. What comes along takes its own place. */
export function addSection(sections, html) {
  const how = { swapStyle: "beforeend", swapDelay: 0, settleDelay: 0 };
  htmx.swap(sections, html, how, { eventInfo: { target: sections } });
  const added = sections.lastElementChild;
  const placeOf = (section) => Number(section.dataset.place);
  const later = [...sections.children].find((section) => placeOf(section) > placeOf(added));
  if (later) later.before(added);
  return added;
}
