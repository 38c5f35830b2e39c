// Pictures that are searched with, each by a request of its own and a few at a time. Each says how it stands.
import { gettext, interpolate } from "./i18n.js";
import { send, wordsFor } from "./send.js";
import { announce } from "./toasts.js";

const AT_ONCE = 4; // what the server decodes and encodes together
const OPEN = new Set(["waiting", "sending"]);

export class Queue {
  #element;
  #options;
  #items = [];
  #nextPlace;
  #rows;
  #template;

  /** `options`: endpoint() gives a promise of an address; answered(item, html) gives what its row says, or removes the
   * row by giving nothing; settled(queue) is called when nothing is left to do. */
  constructor(element, options) {
    this.#element = element;
    this.#options = options;
    this.#nextPlace = Number(element.dataset.nextPlace ?? 0);
    this.#rows = element.querySelector("[data-queue-rows]");
    this.#template = element.querySelector("[data-queue-row]");
    element.querySelector("[data-retry-all]").addEventListener("click", () => this.#all("unsent", this.#wait));
    element.querySelector("[data-cancel-all]").addEventListener("click", () => this.#cancelAll());
    window.addEventListener("beforeunload", (event) => {
      if (this.isBusy) event.preventDefault();
    });
  }

  get isBusy() {
    return this.count(...OPEN) > 0;
  }

  count(...states) {
    return this.#items.filter(({ state }) => states.includes(state)).length;
  }

  /** Pictures as files or as addresses. What systems leave in folders is left out. */
  add(pictures) {
    const wanted = pictures.filter((picture) => !picture.name?.startsWith("."));
    const items = wanted.map((picture) => this.#item(picture));
    this.#items.push(...items);
    this.#rows.append(...items.map(({ row }) => row));
    this.#element.hidden = this.#items.length === 0;
    items.forEach((item) => this.#begin(item));
    this.#more();
  }

  #item(picture) {
    const isFile = picture instanceof File;
    const row = this.#template.content.cloneNode(true).firstElementChild;
    row.querySelector("[data-name]").textContent = isFile ? picture.webkitRelativePath || picture.name : picture;
    row.querySelector("[data-size]").textContent = isFile ? size(picture.size) : "";
    const place = this.#nextPlace++;
    const item = { file: isFile ? picture : null, url: isFile ? "" : picture, place, row, state: "waiting", share: 0 };
    row.querySelector("[data-retry]").addEventListener("click", () => this.#all(item.state, this.#wait, item));
    row.querySelector("[data-cancel]").addEventListener("click", () => this.#cancel(item));
    if (isFile) showWhenSeen(row.querySelector("[data-preview]"), picture);
    return item;
  }

  #begin(item) {
    const most = Number(this.#element.dataset.maxMegabytes);
    if (item.file && item.file.size > most * 1e6) {
      const words = gettext("The file is too large; at most %(most)s MB are taken.");
      this.#say(item, "refused", interpolate(words, { most }));
    } else this.#wait(item);
  }

  #wait(item) {
    this.#say(item, "waiting", gettext("Waiting"));
  }

  #all(state, act, ...only) {
    const chosen = only.length ? only : this.#items.filter((item) => item.state === state);
    chosen.forEach((item) => act.call(this, item));
    this.#more();
  }

  #more() {
    const free = AT_ONCE - this.count("sending");
    const next = this.#items.filter(({ state }) => state === "waiting").slice(0, Math.max(free, 0));
    next.forEach((item) => this.#send(item));
    this.#summarise();
  }

  async #send(item) {
    item.stop = new AbortController();
    this.#say(item, "sending", item.file ? gettext("Uploading") : gettext("Fetching"));
    const endpoint = await this.#options.endpoint().catch(() => null);
    const answer = endpoint ? await this.#sent(item, endpoint) : { status: 0, text: "" };
    if (answer === null) return;
    if (answer.status === 200) this.#finish(item, answer.text);
    else this.#say(item, "unsent", wordsFor(answer));
    this.#more();
    if (!this.isBusy) this.#settle();
  }

  #sent(item, endpoint) {
    const body = new FormData();
    if (item.file) body.append("picture", item.file);
    else body.append("urls", item.url);
    body.append("place", item.place);
    return send(endpoint, body, {
      headers: { "HX-Request": "true", Accept: "application/json, text/html" },
      signal: item.stop.signal,
      onProgress: (share) => this.#advance(item, share),
    });
  }

  #advance(item, share) {
    if (item.state !== "sending" || !item.file) return;
    item.share = share;
    item.row.querySelector("progress").value = share;
    this.#say(item, "sending", share < 1 ? gettext("Uploading") : gettext("Searching"));
  }

  #finish(item, html) {
    const words = this.#options.answered(item, html);
    this.#say(item, "done", words ?? "");
    if (words === undefined) item.row.remove();
  }

  #cancel(item) {
    item.stop?.abort();
    this.#say(item, "cancelled", "");
    item.row.remove();
    this.#more();
    if (!this.isBusy) this.#settle();
  }

  #cancelAll() {
    const open = this.#items.filter(({ state }) => OPEN.has(state));
    for (const item of open) item.state = "cancelled"; // none of them begins because another ends
    open.forEach((item) => this.#cancel(item));
  }

  #say(item, state, words) {
    const { row } = item;
    item.state = state;
    row.dataset.state = state;
    row.querySelector("[data-state-words]").textContent = words;
    row.querySelector("progress").hidden = state !== "sending" || !item.file;
    row.querySelector("[data-cancel]").hidden = !(OPEN.has(state) || state === "unsent" || state === "refused");
    row.querySelector("[data-retry]").hidden = state !== "unsent";
  }

  #summarise() {
    const all = this.#items.length - this.count("cancelled");
    const finished = all - this.count(...OPEN);
    const failed = this.count("unsent", "refused");
    const words = [interpolate(gettext("%(finished)s of %(all)s done"), { finished, all })];
    if (failed) words.push(interpolate(gettext("%(failed)s not searched with"), { failed }));
    this.#element.querySelector("[data-queue-summary]").textContent = words.join(" · ");
    this.#element.querySelector("[data-queue-progress]").value = all ? finished / all : 1;
    this.#element.querySelector("[data-retry-all]").hidden = this.count("unsent") < 2;
    this.#element.querySelector("[data-cancel-all]").hidden = !this.isBusy;
  }

  #settle() {
    announce(this.#element.querySelector("[data-queue-summary]").textContent);
    this.#element.hidden = this.#rows.children.length === 0;
    this.#options.settled?.(this);
  }
}

/** As the server writes it. */
function size(bytes) {
  const [value, unit] = bytes < 2 ** 20 ? [bytes / 2 ** 10, "KB"] : [bytes / 2 ** 20, "MB"];
  return `${value.toFixed(1)}\u00a0${unit}`;
}

// Hundreds of pictures decoded at once would stop the page: each is drawn when it comes into view.
const fileOf = new WeakMap();
const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    draw(target, fileOf.get(target));
  }
});

function showWhenSeen(place, file) {
  fileOf.set(place, file);
  seen.observe(place);
}

async function draw(place, file) {
  try {
    const bitmap = await createImageBitmap(file, { resizeHeight: 96, resizeQuality: "low" });
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    bitmap.close();
    place.replaceChildren(canvas);
  } catch {
    // a format that the server reads and this browser does not
  }
}
