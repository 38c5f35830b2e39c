// Files dropped anywhere on a page, or pasted: to be searched with, or to be uploaded.
import { gettext, interpolate, ngettext } from "./i18n.js";
import { isTyping } from "./keyboard.js";
import { searchWith, searchWithMany } from "./search-with.js";
import { toast } from "./toasts.js";
import { mayUpload, upload } from "./uploader.js";

const takers = { search: searchWith, ...(mayUpload && { upload }) };

/** Lets a page take in itself what is dropped or pasted on it: `take` is called with an array of File.
 *
 * `to` says for what: "search" or "upload". What is searched with is one file at a time, where not `several`; more than
 * that make a match report. */
export function onFiles(take, { to = "search", several = false } = {}) {
  takers[to] = to === "upload" || several ? take : (files) => (files.length > 1 ? searchWithMany(files) : take(files));
  usual = to;
}

let usual = "search"; // what is done with what is pasted
let depth = 0; // of the elements entered and not left again
let own = null; // a picture or a link of this page that is dragged about

document.addEventListener("dragstart", ({ target }) => (own = target));
document.addEventListener("dragend", () => (own = null));

document.addEventListener("dragenter", (event) => {
  if (holdsFiles(event)) mark(++depth > 0);
});
document.addEventListener("dragleave", (event) => {
  if (holdsFiles(event)) mark(--depth > 0);
});
document.addEventListener("dragover", (event) => {
  if (holdsAddress(event)) event.preventDefault();
  if (!holdsFiles(event)) return;
  event.preventDefault();
  light(targetOf(event));
});
document.addEventListener("drop", async (event) => {
  if (holdsAddress(event)) takeAddress(event);
  if (!holdsFiles(event)) return;
  event.preventDefault();
  const to = targetOf(event)?.dataset.drop ?? usual;
  mark(Boolean((depth = 0)));
  const { files, unread } = await filesOf(event.dataTransfer);
  if (files.length) takers[to](files);
  if (unread || !files.length) toast(toldOf(unread), "error");
});

document.addEventListener("paste", (event) => {
  const { files, types } = event.clipboardData;
  if (!files.length || (isTyping(event.target) && types.includes("text/plain"))) return;
  event.preventDefault();
  takers[usual]([...files]);
});

/** What was taken out of the page meanwhile says no more that its drag is over. */
const isOwn = () => Boolean(own?.isConnected);
/** Chrome calls a picture of the page a file as well. */
const holdsFiles = (event) => !isOwn() && Boolean(event.dataTransfer?.types.includes("Files"));
/** A picture or a link of another page, which some browsers give as no file, and would go to. */
const holdsAddress = (event) =>
  !isOwn() && !holdsFiles(event) && !isTyping(event.target) && event.dataTransfer.types.includes("text/uri-list");

function takeAddress(event) {
  event.preventDefault();
  const lines = event.dataTransfer.getData("text/uri-list").split(/\r?\n/);
  const addresses = lines.filter((line) => /^https?:/.test(line));
  if (addresses.length) searchWithMany(addresses);
}

const targetOf = (event) => event.target.closest?.("[data-drop]");

function mark(dragging) {
  document.body.toggleAttribute("data-dragging", dragging);
  for (const one of document.querySelectorAll("[data-drop]")) one.hidden = !(one.dataset.drop in takers);
  if (!dragging) light(null);
}

function light(target) {
  for (const one of document.querySelectorAll("[data-drop]")) one.toggleAttribute("data-over", one === target);
}

function toldOf(unread) {
  if (!unread) return gettext("There is no file in what was dropped.");
  const text = ngettext("%(count)s file or folder cannot be read.", "%(count)s files or folders cannot be read.", unread);
  return interpolate(text, { count: unread });
}

/** And how many files and folders could not be read. */
async function filesOf(transfer) {
  // entries are gone once the event is over: take them before anything is waited for
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return { files: [...transfer.files], unread: 0 };
  const found = await allUnder(entries);
  const files = found.filter(Boolean);
  return { files, unread: found.length - files.length };
}

const allUnder = async (entries) => (await Promise.all(entries.map(filesUnder))).flat();

/** Null in place of what cannot be read. */
async function filesUnder(entry) {
  try {
    return entry.isFile ? [await new Promise((resolve, reject) => entry.file(resolve, reject))] : await filesIn(entry);
  } catch {
    return [null];
  }
}

async function filesIn(folder) {
  const reader = folder.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // 100 at a time
    if (some.length === 0) return allUnder(found);
    found.push(...some);
  }
}
