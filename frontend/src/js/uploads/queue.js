// What is uploaded: each file by itself, two at a time, until it is known what became of it.
import { gettext, interpolate, ngettext } from "../i18n.js";
import { toast } from "../toasts.js";
import {
  isPlace,
  keepChoice,
  keepOutcomes,
  noteUnfinished,
  panel,
  recallChoice,
  recallOutcomes,
  takePlace,
  unfinished,
} from "./kept.js";
import { bringBack, discard, look, samePictures } from "./look.js";
import { Store } from "./store.js";
import { AT_ONCE, Transfers, isLost } from "./transfers.js";

// What an upload can be. `lost`: sending, while the server is not reached. `forgotten`: the browser kept all but the file.
const SENDING = new Set(["looking", "sending", "lost"]);
const OPEN = new Set([...SENDING, "waiting"]);
const UNFINISHED = new Set([...OPEN, "unsent", "forgotten"]);
// Refusals of the request and not of the file: it may be retried.
const RETRIED = new Set([403, 404, 409, 410, 423, 429]);
const KEPT_AFTER_MS = 300;
const MOST_WAIT_MS = 20_000; // for the page before this one to let go of its place
const MOST_READ_MS = 10_000; // for the browser to give back what it keeps

export const isOpen = ({ state }) => OPEN.has(state);
export const isUnfinished = ({ state, choice }) => UNFINISHED.has(state) || (state === "skipped" && choice === "open");
export const canSkip = ({ state, choice }) => state === "added" && choice === "open";
export const canKeepBoth = (upload) => canSkip(upload) || (upload.state === "skipped" && upload.choice === "open");

/** All uploads, those added last first: id, name, size, state, share sent, and what became of it. */
export const uploads = [];
export const changes = new EventTarget(); // "all", and of one as detail: "changed", "progressed"
export let isPaused = recallChoice("paused");

const suffixes = panel.dataset.suffixes.split(",");
let transfers = null;
let store = null;
let place = "";
let knowsWhatIsLeft = true; // in this place; else the number that an earlier page noted stands

uploads.push(...recallOutcomes());
const hurry = new AbortController();
const ready = begin();

/** Takes the place of an earlier page, or a new one, and goes on with what was left there. */
async function begin() {
  setTimeout(() => hurry.abort(), MOST_WAIT_MS);
  place = await takePlace(hurry.signal);
  transfers = new Transfers(place, { progress, lost });
  store = new Store(place);
  restore(await whatIsLeft());
  for (const kind of ["all", "changed"]) changes.addEventListener(kind, () => keepSoon());
  window.addEventListener("pagehide", keep);
  tell("all");
  sendMore();
  forgetOthers();
}

async function whatIsLeft() {
  try {
    const { open, past } = await Promise.race([store.recall(), late(MOST_READ_MS)]);
    if (past) tellPast(past);
    return open;
  } catch {
    const count = unfinished(place);
    knowsWhatIsLeft = count === 0;
    if (count) tellNotGivenBack(count);
    return [];
  }
}

const late = (ms) => new Promise((_, reject) => setTimeout(reject, ms, new Error("late")));

function tellPast(count) {
  const text = ngettext(
    "%(count)s file was not sent within a day, and the browser has forgotten it.",
    "%(count)s files were not sent within a day, and the browser has forgotten them.",
    count,
  );
  toast(interpolate(text, { count }), "error");
}

function tellNotGivenBack(count) {
  const text = ngettext(
    "%(count)s file that was not sent is not given back by the browser. Reload the page, or choose it again.",
    "%(count)s files that were not sent are not given back by the browser. Reload the page, or choose them again.",
    count,
  );
  toast(interpolate(text, { count }), "error");
}

/** What anybody else left in this browser and did not come back for within a day. */
async function forgetOthers() {
  if (!navigator.locks || !globalThis.indexedDB?.databases) return;
  for (const { name } of (await indexedDB.databases()).filter(isPlace)) {
    const forget = (lock) => lock && new Store(name).recall().catch(() => {});
    await navigator.locks.request(name, { ifAvailable: true }, forget); // ours and those of other tabs are not available
  }
}

function restore(kept) {
  const known = new Set(uploads.map(({ id }) => id));
  // the page before knew what became of it, and had no time to let it be forgotten
  store.forget(kept.filter(({ id }) => known.has(id)));
  uploads.unshift(...kept.filter(({ id }) => !known.has(id)).map(restored));
}

function restored(upload) {
  const state = !upload.file ? "forgotten" : upload.state === "unsent" ? "unsent" : "waiting";
  const told = state === "unsent" ? gettext("It was not sent. Retry it.") : "";
  return { ...upload, state, told, share: 0 };
}

let keeping = 0;
function keepSoon() {
  keeping ||= setTimeout(keep, KEPT_AFTER_MS);
}

function keep() {
  clearTimeout(keeping);
  keeping = 0;
  if (knowsWhatIsLeft) noteUnfinished(place, uploads.filter(isUnfinished).length);
  keepOutcomes(uploads.filter((upload) => !isUnfinished(upload)).map((upload) => ({ ...upload, file: null })));
}

function tell(kind, upload = null) {
  changes.dispatchEvent(new CustomEvent(kind, { detail: upload }));
}

function set(upload, changed) {
  const wasUnsent = upload.state === "unsent";
  Object.assign(upload, changed);
  if (wasUnsent !== (upload.state === "unsent") && isUnfinished(upload)) store.keepWhatIsSaid([upload]);
  tell("changed", upload);
}

// --- adding ---------------------------------------------------------------------------------------------------------

export async function add(files, details) {
  hurry.abort();
  await ready;
  const visible = files.filter((file) => !file.name.startsWith(".")); // what systems leave in folders
  const known = new Map(uploads.filter(isUnfinished).map((upload) => [upload.id, upload]));
  const fresh = new Map();
  for (const file of visible) {
    const id = transfers.idOf(file);
    if (known.get(id)?.state === "forgotten") giveBack(known.get(id), file);
    else if (!known.has(id)) fresh.set(id, file); // else it is under way already
  }
  const addedAt = Date.now();
  const added = [...fresh].map(([id, file], number) => made(id, file, details, { addedAt, number }));
  // of a file that is chosen again, what became of it before is past: two would be taken for one on the next page
  uploads.splice(0, uploads.length, ...added, ...uploads.filter(({ id }) => !fresh.has(id)));
  store.keep(added.filter(isOpen));
  knowsWhatIsLeft = true; // who was told has chosen again
  tell("all");
  keep();
  sendMore();
}

function made(id, file, { looks = false, collection = "", tags = "" }, order) {
  const { name, size, webkitRelativePath: relativePath } = file;
  const refused = refusalOf(file);
  const state = refused ? "refused" : "waiting";
  const details = { collection, tags };
  return { id, file, name: relativePath || name, relativePath, size, looks, details, ...order, state, refused, share: 0 };
}

/** What the server would refuse anyway, said before the bytes are sent. */
function refusalOf(file) {
  const { maxMegabytes, accepted } = panel.dataset;
  if (file.size > maxMegabytes * 1e6) {
    const text = gettext("The file is too large; at most %(most)s MB are taken.");
    return { code: "too_large", detail: interpolate(text, { most: maxMegabytes }) };
  }
  if (file.type && !file.type.startsWith("image/") && !isNamedAsOne(file)) {
    const text = gettext("This is no picture we can read: %(accepted)s.");
    return { code: "unsupported_type", detail: interpolate(text, { accepted }) };
  }
  return null;
}

/** Systems have types of their own for some pictures, such as application/dicom; the server goes by the content. */
function isNamedAsOne({ name, type }) {
  return type === "application/dicom" || suffixes.some((suffix) => name.toLowerCase().endsWith(suffix));
}

/** The browser forgot a file, and here it is again. */
function giveBack(upload, file) {
  set(upload, { file, state: "waiting" });
  store.keep([upload]);
}

// --- sending --------------------------------------------------------------------------------------------------------

function sendMore() {
  const sending = uploads.filter(({ state }) => SENDING.has(state)).length;
  const waiting = uploads.filter(({ state }) => state === "waiting");
  if (!isPaused) waiting.slice(0, Math.max(AT_ONCE - sending, 0)).forEach(send);
  tellAdded();
}

let added = []; // the ids of assets that pages were not told of

/** Once nothing is being sent any more, not of each by itself: a page that shows them should not be restless. */
function tellAdded() {
  if (!added.length || uploads.some(({ state }) => SENDING.has(state))) return;
  document.dispatchEvent(new CustomEvent("assets-added", { detail: { ids: added } }));
  added = [];
}

async function send(upload) {
  const isNew = !upload.looks || (await isNotThere(upload));
  if (isNew) {
    set(upload, { state: "sending", told: "" });
    const answer = await transfers.send(upload);
    if (answer) finish(upload, answer);
  }
  sendMore();
}

/** Whether to go on and send it, because there is no such picture; what else was found, it tells. */
async function isNotThere(upload) {
  upload.stop = new AbortController();
  set(upload, { state: "looking" });
  const { signal } = upload.stop;
  const { status, response } = await look(upload.file, signal);
  if (signal.aborted) return false;
  if (status !== 200) finish(upload, { status, response });
  else if (response.identical) finish(upload, { status, response: response.identical });
  else if (response.same_picture) skipBefore(upload, response.same_picture);
  else return true;
  return false;
}

function skipBefore(upload, same) {
  set(upload, { state: "skipped", same, choice: "open" });
}

function progress(id, share) {
  const upload = uploads.find((each) => each.id === id && isOpen(each));
  if (!upload) return;
  upload.share = share;
  if (upload.state === "sending") tell("progressed", upload);
  else set(upload, { state: "sending" });
}

function lost(id) {
  const upload = uploads.find((each) => each.id === id && isOpen(each));
  if (upload) set(upload, { state: "lost" });
}

function finish(upload, { status, response }) {
  if (status >= 200 && status < 300 && response?.id) accept(upload, response);
  else if (status === 401) set(upload, { state: "unsent", told: "", isSignedOut: true });
  else if (status >= 400 && status < 500 && response?.code && !RETRIED.has(status))
    set(upload, { state: "refused", refused: response });
  else set(upload, { state: "unsent", told: (status !== 403 && response?.detail) || wordsFor(status) });
  if (isUnfinished(upload)) transfers.remove(upload.id);
  else letGo(upload);
}

/** Nothing of it is sent any more, nor kept for another page. */
function letGo(upload) {
  transfers.remove(upload.id);
  store.forget([upload]);
}

function accept(upload, stored) {
  set(upload, { state: stored.duplicate ? "identical" : "added", stored });
  if (!stored.duplicate) added.push(stored.id);
  if (stored.status === "ready") compare(upload);
}

function wordsFor(status) {
  if (status === 0 || isLost(status)) return gettext("The server cannot be reached. Retry when it is back.");
  if (status === 403) return gettext("The page was open for too long. Reload it and add the file again.");
  if (status === 413) return gettext("The server takes no file this large.");
  return interpolate(gettext("Something went wrong on the server (%(status)s). Retry in a moment."), { status });
}

// --- what a person does ---------------------------------------------------------------------------------------------

export function retry(upload) {
  set(upload, { state: "waiting", told: "", isSignedOut: false, share: 0 });
  sendMore();
}

/** Without looking first whether the picture is there. */
export function sendAnyway(upload) {
  upload.looks = false;
  store.keepWhatIsSaid([upload]);
  retry(upload);
}

export function cancel(upload) {
  upload.stop?.abort();
  set(upload, { state: "cancelled" });
  letGo(upload);
  sendMore();
}

export const retryAll = () => uploads.filter(({ state }) => state === "unsent").forEach(retry);

export function cancelAll() {
  const open = uploads.filter(isOpen);
  for (const upload of open) upload.state = "cancelled"; // before any makes room for another
  open.forEach(cancel);
}

export function pauseAll() {
  isPaused = !isPaused;
  keepChoice("paused", isPaused);
  for (const upload of uploads) if (isOpen(upload)) hold(upload);
  tell("all");
  sendMore();
}

function hold(upload) {
  if (upload.state === "looking") {
    upload.stop.abort();
    upload.state = "waiting";
  } else if (SENDING.has(upload.state) && upload.share < 1) {
    // what has been sent is being checked, and its answer is on the way
    if (isPaused) transfers.pause(upload.id);
    else transfers.resume(upload.id);
  }
}

/** Of what is done nothing is shown any more. */
export function clear() {
  uploads.filter(({ state }) => state === "skipped").forEach(skip);
  uploads.splice(0, uploads.length, ...uploads.filter(isUnfinished));
  tell("all");
}

// --- the same picture -----------------------------------------------------------------------------------------------

/** An asset that is ready can be compared, once: whether it is the same picture as another. */
export async function compare(upload) {
  if (upload.isCompared || upload.state !== "added") return;
  upload.isCompared = true;
  const same = await samePictures(upload.stored);
  if (same) set(upload, { same, choice: "open" });
}

export function keepBoth(upload) {
  if (upload.state === "added") set(upload, { choice: "kept" });
  else if (upload.state === "removed") undoSkip(upload);
  else sendAnyway(upload);
}

/** What was added goes into the trash, as long as the picture is there in another form; what was not sent stays so. */
export async function skip(upload) {
  if (upload.state === "skipped") {
    set(upload, { choice: "skipped" });
    letGo(upload);
  } else if ((await lookAgain(upload)) && (await discard(upload.stored))) {
    set(upload, { state: "removed", choice: "skipped" });
    await Promise.all(uploads.filter(canSkip).map(lookAgain));
  } else if (upload.choice === "open") set(upload, { told: gettext("It could not be removed. Try again.") });
}

/** Whether the picture is there in another form still: that may be in the trash by now, and this the last one. */
async function lookAgain(upload) {
  const same = await samePictures(upload.stored);
  if (same !== null) set(upload, same ? { same } : { same, choice: "kept" });
  return Boolean(same);
}

async function undoSkip(upload) {
  if (await bringBack(upload.stored)) set(upload, { state: "added", choice: "kept", told: "" });
}

export const keepBothOfAll = () => uploads.filter(canKeepBoth).forEach(keepBoth);

/** One after the other, the last added first: of two that are the same picture, one stays. */
export async function skipAll() {
  for (const upload of uploads.filter(canKeepBoth)) if (canKeepBoth(upload)) await skip(upload);
}

// --- leaving --------------------------------------------------------------------------------------------------------

window.addEventListener("beforeunload", (event) => {
  if (uploads.some((upload) => isOpen(upload) && !store?.isKept(upload))) event.preventDefault();
});
window.addEventListener("pageshow", ({ persisted }) => persisted && window.location.reload());
