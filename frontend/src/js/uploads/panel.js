// The panel of uploads: docked at the edge of any page, and part of the page that uploads.
import htmx from "htmx.org";
import { gettext, interpolate, ngettext } from "../i18n.js";
import { announce } from "../toasts.js";
import "../watch.js";
import { keepChoice, panel, recallChoice } from "./kept.js";
import { preview } from "./previews.js";
import * as queue from "./queue.js";

const { uploads, changes } = queue;
const list = panel.querySelector("[data-list]");
const template = panel.querySelector("[data-row]");
const summary = panel.querySelector("[data-summary]");
const overall = panel.querySelector("[data-overall]");
const choices = panel.querySelector("[data-choices]");
const home = document.querySelector("[data-uploads-here]");
const pageTitle = document.title;
let isFoldChosen = false; // on this page
const acts = {
  "retry-all": queue.retryAll,
  "pause-all": queue.pauseAll,
  "cancel-all": queue.cancelAll,
  "keep-all": queue.keepBothOfAll,
  "skip-all": queue.skipAll,
  clear: queue.clear,
  fold: () => {
    isFoldChosen = true;
    fold(!panel.hasAttribute("data-folded"));
    keepChoice("folded", panel.hasAttribute("data-folded"));
  },
};
const actsOfOne = {
  retry: queue.retry,
  cancel: queue.cancel,
  anyway: queue.sendAnyway,
  keep: queue.keepBoth,
  skip: queue.skip,
};

if (home) home.append(panel);
panel.classList.toggle("docked", !home);
// what is pending is asked after by the page's own watch, where it has one
if (!document.querySelector("[data-watch]")) panel.append(panel.querySelector("[data-watching]").content.cloneNode(true));
htmx.process(panel);

function fold(isFolded) {
  panel.toggleAttribute("data-folded", isFolded);
  panel.querySelector("[data-fold]").setAttribute("aria-expanded", !isFolded);
}

panel.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-act]");
  const row = button?.closest(".file");
  if (row) actsOfOne[button.dataset.act](uploadOf.get(row));
  else if (button) acts[button.dataset.act]();
});

// --- rows -----------------------------------------------------------------------------------------------------------

const rowOf = new WeakMap();
const uploadOf = new WeakMap();

function made(upload) {
  const row = template.content.cloneNode(true).firstElementChild;
  row.querySelector(".file-name").textContent = upload.name;
  rowOf.set(upload, row);
  uploadOf.set(row, upload);
  if (upload.stored) showThumbnail(row, upload.stored);
  else if (upload.file) preview(row.querySelector(".file-image"), upload.file);
  show(upload);
  return row;
}

/** What became of it, in words and nodes. */
const words = {
  waiting: () => [queue.isPaused ? gettext("Paused") : gettext("Waiting")],
  looking: () => [gettext("Looking for the same picture")],
  sending: ({ share }) => [sendingWords(share)],
  lost: () => [queue.isPaused ? gettext("Paused") : gettext("Connection lost. It goes on as soon as the server is reached.")],
  forgotten: () => [gettext("The browser has forgotten the file. Choose it again, and it goes on.")],
  unsent: (upload) => (upload.isSignedOut ? signedOut() : [upload.told]),
  refused: ({ refused }) => [`${refused.detail} `, code(refused.code)],
  cancelled: () => [gettext("Cancelled")],
  added: (upload) => [gettext("Added"), " ", badge(upload.stored), ...same(upload)],
  removed: (upload) => [gettext("Skipped; it lies in the trash."), ...same(upload)],
  skipped: (upload) => [gettext("Skipped"), ...same(upload)],
  identical: ({ stored }) => identical(stored),
};

function sendingWords(share) {
  if (queue.isPaused && share < 1) return gettext("Paused");
  return share < 1 ? gettext("Sending") : gettext("Checking the picture");
}

function same(upload) {
  return upload.same ? [document.createRange().createContextualFragment(upload.same)] : []; // as the server rendered it
}

function identical(stored) {
  const told = stored.restored
    ? gettext("Identical to %(asset)s, which lay in the trash and is back")
    : gettext("Identical to %(asset)s; nothing was added");
  const [before, after] = told.split("%(asset)s");
  return [before, link(stored.url, stored.title), after];
}

function signedOut() {
  const [before, after] = gettext("You are not signed in any more. %(link)s in a new tab, then retry.").split("%(link)s");
  const signIn = link(`${panel.dataset.signIn}?next=${encodeURIComponent(location.pathname)}`, gettext("Sign in"));
  signIn.target = "_blank";
  return [before, signIn, after];
}

function link(url, text) {
  const anchor = document.createElement("a");
  anchor.href = url;
  anchor.textContent = text;
  return anchor;
}

function code(text) {
  const element = document.createElement("code");
  element.textContent = text;
  return element;
}

/** As the server renders it, so that its answers can take its place. */
function badge({ id, status }) {
  const element = document.createElement("span");
  element.id = `status-${id}`;
  element.className = `badge badge-${status}`;
  element.textContent = { pending: gettext("Pending"), ready: gettext("Ready"), failed: gettext("Failed") }[status];
  if (status === "pending") element.dataset.pending = id;
  return element;
}

function show(upload) {
  const row = rowOf.get(upload);
  const state = row.querySelector(".file-state");
  const isOpen = queue.isOpen(upload);
  row.dataset.state = upload.state;
  state.replaceChildren(...words[upload.state](upload));
  state.classList.toggle("error", upload.state === "refused" || upload.state === "unsent");
  if (upload.stored && upload.state !== "identical") {
    row.querySelector(".file-name").replaceChildren(link(upload.stored.url, upload.stored.title));
    showThumbnail(row, upload.stored);
  }
  row.querySelector(".file-progress").hidden = !isOpen;
  const shown = {
    cancel: isOpen || upload.state === "unsent" || upload.state === "forgotten",
    retry: upload.state === "unsent",
    anyway: upload.state === "unsent" && Boolean(upload.looks),
    keep: queue.canKeepBoth(upload) || upload.state === "removed",
    skip: queue.canKeepBoth(upload),
  };
  for (const [act, isShown] of Object.entries(shown)) row.querySelector(`[data-act=${act}]`).hidden = !isShown;
  progress(upload);
}

/** A file that this browser could not draw is drawn by the server. */
function showThumbnail(row, { url }) {
  const place = row.querySelector(".file-image");
  if (place.firstElementChild) return;
  const image = new Image(48, 48);
  Object.assign(image, { alt: "", loading: "lazy", src: `${url}thumbnail.jpg` });
  place.replaceChildren(image);
}

function progress(upload) {
  const row = rowOf.get(upload);
  row.querySelector(".file-progress").value = upload.share;
  if (upload.state === "sending") row.querySelector(".file-state").textContent = sendingWords(upload.share);
}

function showAll() {
  list.replaceChildren(...uploads.map((upload) => rowOf.get(upload) ?? made(upload)));
  uploads.filter(queue.isOpen).forEach(show);
  panel.hidden = uploads.length === 0;
  if (!isFoldChosen) fold(!home && (recallChoice("folded") || !uploads.some(queue.isUnfinished)));
}

// --- all of them together, drawn once a frame -------------------------------------------------------------------------

const changed = new Set();
const progressed = new Set();
let isAllChanged = true;
let frame = 0;

changes.addEventListener("all", () => draw(() => (isAllChanged = true)));
changes.addEventListener("changed", ({ detail }) => draw(() => changed.add(detail)));
changes.addEventListener("progressed", ({ detail }) => draw(() => progressed.add(detail)));

function draw(note) {
  note();
  frame ||= setTimeout(drawNow, document.hidden ? 500 : 50);
}

function drawNow() {
  frame = 0;
  if (isAllChanged) showAll();
  isAllChanged = false;
  for (const upload of changed) if (rowOf.has(upload)) show(upload);
  for (const upload of progressed) if (rowOf.has(upload)) progress(upload);
  const isSumChanged = changed.size > 0 || progressed.size === 0;
  changed.clear();
  progressed.clear();
  if (isSumChanged) summarise();
  showOverall();
}

const COUNTED = {
  added: (count) => ngettext("%(count)s added", "%(count)s added", count),
  identical: (count) => ngettext("%(count)s identical", "%(count)s identical", count),
  skipped: (count) => ngettext("%(count)s skipped", "%(count)s skipped", count),
  refused: (count) => ngettext("%(count)s refused", "%(count)s refused", count),
  unsent: (count) => ngettext("%(count)s not sent", "%(count)s not sent", count),
  cancelled: (count) => ngettext("%(count)s cancelled", "%(count)s cancelled", count),
};
const COUNTED_AS = { removed: "skipped", forgotten: "unsent" };

function summarise() {
  const counts = {};
  for (const { state } of uploads) counts[COUNTED_AS[state] ?? state] = (counts[COUNTED_AS[state] ?? state] ?? 0) + 1;
  const open = uploads.filter(queue.isOpen).length;
  const [finished, all] = [uploads.length - open, uploads.length];
  const told = Object.keys(COUNTED).filter((state) => counts[state]);
  const text = [
    interpolate(gettext("%(finished)s of %(all)s done"), { finished, all }),
    ...told.map((state) => interpolate(COUNTED[state](counts[state]), { count: counts[state] })),
  ].join(" · ");

  if (open === 0 && all && summary.textContent !== text) announce(text);
  summary.textContent = text;
  document.title = open ? `(${finished}/${all}) ${pageTitle}` : pageTitle;
  panel.toggleAttribute("data-paused", queue.isPaused);
  const isShown = {
    "retry-all": (counts.unsent ?? 0) > 1,
    "pause-all": open > 0,
    "cancel-all": open > 0,
    clear: open === 0,
    done: Boolean(home) && open === 0 && (counts.added ?? 0) > 0,
  };
  for (const [name, shown] of Object.entries(isShown)) panel.querySelector(`[data-${name}]`).hidden = !shown;
  showChoices(uploads.filter(queue.canKeepBoth).length);
}

function showChoices(count) {
  choices.hidden = count === 0;
  const text = ngettext(
    "%(count)s picture is there already in another form.",
    "%(count)s pictures are there already in another form.",
    count,
  );
  choices.querySelector("[data-told]").textContent = interpolate(text, { count });
  for (const button of choices.querySelectorAll("button")) button.hidden = count < 2;
}

function showOverall() {
  let [bytes, sent] = [1, 0];
  for (const upload of uploads) {
    bytes += upload.size;
    sent += upload.size * (queue.isOpen(upload) ? upload.share : 1);
  }
  overall.hidden = !uploads.some(queue.isOpen);
  overall.value = sent / bytes;
}

// What was pending may be ready now. Until htmx settles, a badge keeps the class of the one it replaces.
document.addEventListener("htmx:afterSettle", ({ target }) => {
  if (!target.closest("[data-watch]")) return;
  for (const badge of list.querySelectorAll(".badge-ready, .badge-failed")) {
    const upload = uploadOf.get(badge.closest(".file"));
    if (upload.stored?.status !== "pending") continue;
    upload.stored.status = badge.classList.contains("badge-ready") ? "ready" : "failed";
    if (upload.stored.status === "ready") queue.compare(upload);
  }
});

draw(() => {});
