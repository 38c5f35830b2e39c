// "Do we have these?": pictures are looked for one by one, and nothing of them is kept on the server.
import { onFiles } from "../drop.js";
import { takeFrom } from "../pictures-form.js";
import { Queue } from "../queue.js";
import { addSection } from "../report.js";

const form = document.querySelector("[data-pictures]");
const sections = document.querySelector("[data-sections]");
const summary = document.querySelector("[data-have-summary]");

const queue = new Queue(document.querySelector("main [data-queue]"), {
  endpoint: () => Promise.resolve(form.action),
  answered: show,
});

const take = (pictures) => queue.add(pictures);
takeFrom(form, take);
onFiles(take, { several: true });
count();

function show(_, html) {
  addSection(sections, html);
  count();
}

function count() {
  summary.hidden = sections.children.length === 0;
  for (const item of summary.querySelectorAll("[data-tally]")) {
    const found = sections.querySelectorAll(`[data-verdict=${item.dataset.tally}]`).length;
    item.querySelector("strong").textContent = found;
    item.hidden = found === 0;
  }
}

summary.querySelector("[data-have-exports]").hidden = false;
summary.addEventListener("click", ({ target }) => {
  const kind = target.closest("[data-export]")?.dataset.export;
  if (kind === "csv") save("do-we-have-these.csv", "text/csv", `\ufeff${summary.dataset.columns}\r\n${told("csv").join("\r\n")}\r\n`);
  if (kind === "json") save("do-we-have-these.json", "application/json", `[${told("json").join(",\n")}]\n`);
  if (kind === "paper") window.print();
});

/** What the server told of each picture, as files have it. */
function told(kind) {
  return [...sections.children].map((section) => section.dataset[kind]);
}

function save(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}
