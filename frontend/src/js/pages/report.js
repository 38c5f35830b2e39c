// Match reports: pictures that are chosen, dropped or pasted are searched with one by one, and their sections appear as
// they are answered. The first of them begin a report, whose page takes the place of the one that asks for pictures.
import htmx from "htmx.org";
import { onFiles } from "../drop.js";
import { takeFrom } from "../pictures-form.js";
import { Queue } from "../queue.js";
import { addSection, beginReport } from "../report.js";
import { searchWithMany } from "../search-with.js";
import { send, wordsFor } from "../send.js";
import { toast } from "../toasts.js";

const fileOf = new Map(); // by the id of the entry that was made of it, to try again
let queue = attach();

onFiles(take, { several: true });

/** To what this page shows. */
function attach() {
  const form = document.querySelector("[data-pictures]");
  takeFrom(form, take);
  const address = form.dataset.report;
  if (!address) return null;
  return new Queue(document.querySelector("main [data-queue]"), {
    endpoint: () => Promise.resolve(address + window.location.search),
    answered: show,
  });
}

let beginning = null;

async function take(pictures) {
  if (!queue) {
    beginning ??= begin().finally(() => (beginning = null));
    const isBegun = await beginning.then(() => true, () => false);
    if (!isBegun) return searchWithMany(pictures); // there they are kept, and can be tried again
  }
  queue.add(pictures);
}

/** In place, because what was chosen would not come along to another page. */
async function begin() {
  const address = await beginReport(window.location.pathname);
  const page = await (await fetch(address)).text();
  const shown = new DOMParser().parseFromString(page, "text/html");
  document.getElementById("main").replaceChildren(...shown.getElementById("main").childNodes);
  document.title = shown.title;
  history.pushState(null, "", address);
  window.addEventListener("popstate", () => window.location.reload());
  htmx.process(document.getElementById("main"));
  queue = attach();
}

function show(item, html) {
  const sections = document.querySelector("[data-sections]");
  document.querySelector("[data-nothing]")?.remove();
  const section = addSection(sections, html);
  if (item.file) fileOf.set(section.dataset.entry, item.file);
}

// What was refused is tried again with the file that is still here, or with the one that is chosen instead.
document.addEventListener("submit", async (event) => {
  const again = event.target.closest("[data-again]");
  if (!again) return;
  event.preventDefault();
  const section = again.closest("[data-entry]");
  const file = again.elements.picture?.files[0] ?? fileOf.get(section.dataset.entry);
  const body = new FormData();
  if (file) body.append("picture", file);
  section.dataset.busy = "";
  const answer = await send(again.action + window.location.search, body, { headers: { "HX-Request": "true" } });
  delete section.dataset.busy;
  const how = { swapStyle: "outerHTML", swapDelay: 0, settleDelay: 0 };
  if (answer.status === 200) htmx.swap(section, answer.text, how, { eventInfo: { target: section } });
  else toast(wordsFor(answer), "error");
});
