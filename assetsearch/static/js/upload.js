// The upload page: every file is sent by itself, three at a time, and says what became of it.
import { onFiles } from "./drop.js";
import { Look } from "./look.js";
import { announce } from "./toasts.js";
import { Transfer } from "./tus.js";
import "./watch.js";

const AT_ONCE = 3;
// States in which a file still has to be, or is being, sent.
const OPEN = new Set(["waiting", "sending"]);
// Refusals of the request and not of the file: it may be retried.
const RETRIED = new Set([403, 404, 409, 410, 423, 429]);

const form = document.getElementById("upload");
const list = document.getElementById("files-list");
const template = document.getElementById("file-row");
const progress = document.getElementById("progress");
const summary = document.getElementById("summary");
const overall = document.getElementById("overall");
const [retryAll, pauseAll, cancelAll, done] = ["retry-all", "pause-all", "cancel-all", "done"].map((name) =>
  progress.querySelector(`[data-${name}]`),
);
const { maxMegabytes, accepted } = form.dataset;
const suffixes = form.querySelector("input[type=file]").accept.split(",").filter((kind) => kind.startsWith("."));
const uploads = [];
let paused = false;

// --- choosing ---------------------------------------------------------------------------------------------------

form.querySelector("[data-no-script]").remove();
for (const scripted of form.querySelectorAll("[data-script]")) scripted.hidden = false;
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("change", ({ target }) => {
  if (target.type !== "file") return;
  add([...target.files]);
  target.value = ""; // so that the same file can be chosen again
});
onFiles(add);

function add(files) {
  const visible = files.filter((file) => !file.name.startsWith(".")); // what systems leave in folders
  const isFirst = uploads.length === 0;
  const details = { collection: form.elements.collection.value, tags: form.elements.tags.value };
  const looks = form.elements.look.checked;
  const added = visible.map((file) => ({ file, details, looks, state: "waiting", sent: 0, row: makeRow(file) }));
  uploads.push(...added);
  list.prepend(...added.map(({ row }) => row));
  added.forEach(arm);
  progress.hidden = uploads.length === 0;
  if (isFirst && added.length) progress.scrollIntoView({ block: "nearest" });
  sendMore();
}

/** What the server would refuse anyway, said before the bytes are sent. */
function refusalOf(file) {
  if (file.size > maxMegabytes * 1e6)
    return { code: "too_large", detail: `The file is too large; at most ${maxMegabytes} MB are taken.` };
  if (file.type && !file.type.startsWith("image/") && !isNamedAsOne(file))
    return { code: "unsupported_type", detail: `This is no picture we can read: ${accepted}.` };
  return null;
}

/** Systems have types of their own for some pictures, such as application/dicom; the server goes by the content. */
function isNamedAsOne({ name, type }) {
  return type === "application/dicom" || suffixes.some((suffix) => name.toLowerCase().endsWith(suffix));
}

// --- rows -------------------------------------------------------------------------------------------------------

const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    drawPreview(target);
  }
});
const fileOf = new WeakMap();

function makeRow(file) {
  const row = template.content.cloneNode(true).firstElementChild;
  row.querySelector(".file-name").textContent = file.webkitRelativePath || file.name;
  fileOf.set(row, file);
  seen.observe(row);
  return row;
}

async function drawPreview(row) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 96;
  try {
    const bitmap = await createImageBitmap(fileOf.get(row));
    const side = Math.min(bitmap.width, bitmap.height);
    const [left, top] = [(bitmap.width - side) / 2, (bitmap.height - side) / 2];
    canvas.getContext("2d").drawImage(bitmap, left, top, side, side, 0, 0, 96, 96);
    bitmap.close();
    row.querySelector(".file-image").replaceChildren(canvas);
  } catch {
    // this browser cannot show it; whether the server can read it, the row will say
  }
}

function arm(upload) {
  upload.row.querySelector("[data-retry]").addEventListener("click", () => retry(upload));
  upload.row.querySelector("[data-cancel]").addEventListener("click", () => cancel(upload));
  upload.row.querySelector("[data-anyway]").addEventListener("click", () => sendAnyway(upload));
  const why = refusalOf(upload.file);
  if (why) refuse(upload, why);
  else wait(upload);
}

/** Shows the state, in words or nodes. */
function say(upload, ...words) {
  const { row, state, looks } = upload;
  row.querySelector(".file-state").replaceChildren(...words);
  row.querySelector(".file-state").classList.toggle("error", state === "refused" || state === "unsent");
  row.querySelector(".file-progress").hidden = !OPEN.has(state);
  row.querySelector("[data-cancel]").hidden = !OPEN.has(state);
  row.querySelector("[data-retry]").hidden = state !== "unsent";
  row.querySelector("[data-anyway]").hidden = !(state === "skipped" || (state === "unsent" && looks));
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

// --- sending ----------------------------------------------------------------------------------------------------

function sendMore() {
  const waiting = paused ? [] : uploads.filter(({ state }) => state === "waiting");
  const sending = uploads.filter(({ state }) => state === "sending").length;
  waiting.slice(0, AT_ONCE - sending).forEach(send);
  summarise();
}

async function send(upload) {
  upload.state = "sending";
  if (upload.looks && !(await isNew(upload))) return;
  if (!(upload.transfer instanceof Transfer)) upload.transfer = transferOf(upload);
  say(upload, "Sending");
  const answer = await upload.transfer.send();
  if (answer) finish(upload, answer);
}

function transferOf(upload) {
  return new Transfer(upload.file, {
    endpoint: `${window.location.pathname}files/`,
    metadata: { filename: upload.file.name, ...upload.details },
    headers,
    onProgress: (share) => advance(upload, share),
    onLost: () => lose(upload),
  });
}

const headers = () => ({ "X-CSRFToken": csrfToken() });

/** Whether to go on and send it, because there is no such picture; what else was found, its row says. */
async function isNew(upload) {
  upload.transfer = new Look(upload.file, { endpoint: form.dataset.look, headers });
  say(upload, "Looking for the same picture");
  const answer = await upload.transfer.send();
  if (!answer) return false;
  const { status, response: found } = answer;
  if (status !== 200) finish(upload, answer);
  else if (found.identical) finish(upload, { status, response: found.identical });
  else if (found.same_picture) skip(upload, found.same_picture);
  else upload.looks = false;
  return !upload.looks;
}

function skip(upload, samePicture) {
  upload.state = "skipped";
  say(upload, "Skipped", nodes(samePicture));
  sendMore();
}

/** What the server rendered. */
function nodes(html) {
  return document.createRange().createContextualFragment(html);
}

function sendAnyway(upload) {
  upload.looks = false;
  retry(upload);
}

function lose(upload) {
  upload.sent = 0; // until the server says how much arrived
  say(upload, "Connection lost. It goes on as soon as the server is reached.");
}

function wait(upload) {
  upload.state = "waiting";
  say(upload, paused ? "Paused" : "Waiting");
}

/** The cookie's: signing in again, in another tab, makes the page's own void. */
function csrfToken() {
  return document.cookie.match(/\bcsrftoken=([^;]+)/)?.[1] ?? form.elements.csrfmiddlewaretoken.value;
}

function advance(upload, share) {
  upload.sent = share;
  upload.row.querySelector(".file-progress").value = share;
  say(upload, share === 1 ? "Checking the picture" : "Sending");
  showOverall();
}

function finish(upload, { status, response }) {
  if (status === 200 || status === 201) accept(upload, response);
  else if (status === 401) failSignedOut(upload);
  else if (status >= 400 && status < 500 && response?.code && !RETRIED.has(status)) refuse(upload, response);
  else fail(upload, (status !== 403 && response?.detail) || wordsFor(status));
  sendMore();
}

function accept(upload, stored) {
  upload.state = stored.duplicate ? "identical" : "added";
  upload.url = stored.url;
  const name = link(stored.url, stored.title);
  if (stored.duplicate) say(upload, "Identical to ", name, "; nothing was added");
  else {
    upload.row.querySelector(".file-name").replaceChildren(name);
    say(upload, "Added ", badge(stored));
    if (stored.status === "ready") compare(upload);
  }
}

/** As the server renders it, so that its answers can take its place. */
function badge({ id, status }) {
  const element = document.createElement("span");
  element.id = `status-${id}`;
  element.className = `badge badge-${status}`;
  element.textContent = status === "pending" ? "Pending" : status === "ready" ? "Ready" : "Failed";
  if (status === "pending") element.dataset.pending = id;
  return element;
}

function refuse(upload, { code: reason, detail }) {
  upload.state = "refused";
  say(upload, `${detail} `, code(reason));
}

function fail(upload, ...words) {
  upload.state = "unsent";
  say(upload, ...words);
  sendMore();
}

function failSignedOut(upload) {
  const signIn = link(form.dataset.signIn, "Sign in");
  signIn.target = "_blank";
  fail(upload, "You are not signed in any more. ", signIn, " in a new tab, then retry.");
}

function wordsFor(status) {
  if (status === 0) return "The server cannot be reached. Retry when it is back.";
  if (status === 403) return "The page was open for too long. Reload it and add the file again.";
  if (status === 413) return "The server takes no file this large.";
  return `Something went wrong on the server (${status}). Retry in a moment.`;
}

function retry(upload) {
  wait(upload);
  sendMore();
}

function cancel(upload) {
  upload.transfer?.discard();
  upload.state = "cancelled";
  say(upload, "Cancelled");
  sendMore();
}

retryAll.addEventListener("click", () => uploads.filter(({ state }) => state === "unsent").forEach(retry));
cancelAll.addEventListener("click", () => {
  for (const upload of uploads) if (upload.state === "waiting") upload.state = "cancelled";
  for (const upload of uploads) if (upload.state === "sending" || upload.state === "cancelled") cancel(upload);
});

pauseAll.addEventListener("click", () => {
  paused = !paused;
  // what has been sent is being checked, and its answer is on the way
  const stopped = uploads.filter(({ state, sent }) => state === "waiting" || (state === "sending" && sent < 1));
  for (const upload of stopped) {
    upload.transfer?.stop();
    wait(upload);
  }
  sendMore();
});

// --- in sum -----------------------------------------------------------------------------------------------------

const COUNTED = {
  added: "added",
  identical: "identical",
  skipped: "skipped",
  refused: "refused",
  unsent: "not sent",
  cancelled: "cancelled",
};
const pageTitle = document.title;

function summarise() {
  const count = (state) => uploads.filter((upload) => upload.state === state).length;
  const open = uploads.filter(({ state }) => OPEN.has(state)).length;
  const finished = uploads.length - open;
  const counts = Object.keys(COUNTED).filter(count).map((state) => `${count(state)} ${COUNTED[state]}`);
  const pending = list.querySelectorAll(".badge-pending").length;
  if (pending) counts.push(`${pending} pending`);
  const text = [`${finished} of ${uploads.length} done`, ...counts].join(" · ");

  summary.textContent = text;
  document.title = open ? `(${finished}/${uploads.length}) ${pageTitle}` : pageTitle;
  retryAll.hidden = count("unsent") < 2;
  paused &&= open > 0;
  pauseAll.textContent = paused ? "Continue" : "Pause";
  pauseAll.hidden = cancelAll.hidden = open === 0;
  done.hidden = open > 0 || count("added") === 0;
  showOverall();
  if (open === 0 && uploads.length) announce(text);
}

function showOverall() {
  const bytes = uploads.reduce((sum, { file }) => sum + file.size, 0) || 1;
  const sent = uploads.reduce((sum, { file, state, sent: share }) => sum + file.size * (OPEN.has(state) ? share : 1), 0);
  overall.value = sent / bytes;
}

// What was pending may be ready now. Until htmx settles, a badge keeps the class of the one it replaces.
document.querySelector("[data-watch]").addEventListener("htmx:afterSettle", () => {
  uploads.filter(({ row }) => row.querySelector(".badge-ready")).forEach(compare);
  summarise();
});

/** An asset that is ready can be compared: whether it is the same picture as another, its row says, once. */
function compare(upload) {
  if (upload.compared) return;
  upload.compared = true;
  const asking = document.createElement("span");
  const attributes = { "hx-get": `${upload.url}same/`, "hx-trigger": "load", "hx-swap": "outerHTML" };
  for (const [name, value] of Object.entries(attributes)) asking.setAttribute(name, value);
  upload.row.querySelector(".file-state").append(asking);
  window.htmx.process(asking);
}

window.addEventListener("beforeunload", (event) => {
  if (uploads.some(({ state }) => OPEN.has(state))) event.preventDefault();
});
