// Sends a file by tus 1.0 in chunks, and goes on where it stopped: after a lost connection, a pause, a closed tab.

const CHUNK_BYTES = 960 * 1024; // proxies take bodies of up to 1 MB unless told otherwise
const PAUSES_S = [0.5, 1, 2, 4, 8, 15, 30]; // before each further attempt, as long as none gets any further
const LOST = new Set([0, 502, 503, 504]); // no connection, or nothing behind the proxy
const PASSING = new Set([...LOST, 404, 409, 410, 423]); // it began anew, asks where it stands, or waits for another
const KEPT_MS = 24 * 60 * 60 * 1000; // the server forgets what is unfinished after a day
const PREFIX = "upload:";

export class Transfer {
  #file;
  #options;
  #key;
  #url = null;
  #offset = null; // null: to be asked for
  #request = null;
  #running = null;
  #wake = null;

  /** `options`: endpoint, metadata, headers(), onProgress(share), onLost(). */
  constructor(file, options) {
    this.#file = file;
    this.#options = options;
    this.#key = PREFIX + JSON.stringify([file.name, file.size, file.lastModified, options.metadata]);
    this.#url = recall(this.#key);
  }

  /** The request that told what became of the file, or why it cannot be sent; null once it is stopped. */
  async send() {
    const { signal } = (this.#running = new AbortController());
    this.#offset = null;
    for (let failures = 0, furthest = 0; ; ) {
      const answer = await this.#step();
      if (signal.aborted) return null;
      if (this.#isLast(answer)) return this.#finished(answer);
      if (this.#offset > furthest) {
        furthest = this.#offset;
        failures = 0;
      }
      if (answer.status >= 200 && answer.status < 300) continue;
      if (failures === PAUSES_S.length) return answer;
      if (isLost(answer)) this.#options.onLost();
      await this.#pause(PAUSES_S[failures++]);
      if (signal.aborted) return null;
    }
  }

  stop() {
    this.#running?.abort();
    this.#request?.abort();
    this.#wake?.();
  }

  /** Stop for good, and have the server forget what it has. */
  async discard() {
    this.stop();
    this.#forget();
    for (const seconds of this.#url ? PAUSES_S : []) {
      const { status } = await this.#ask("DELETE", this.#url);
      if (status !== 423) break; // else what was stopped has not ended there yet
      await this.#pause(seconds);
    }
  }

  async #step() {
    if (!this.#url) return this.#begin();
    return this.#offset === null ? this.#locate() : this.#continue();
  }

  async #begin() {
    const { endpoint, metadata } = this.#options;
    const whole = this.#file.size <= CHUNK_BYTES;
    const headers = { "Upload-Length": this.#file.size, "Upload-Metadata": encoded(metadata) };
    const answer = await this.#ask("POST", endpoint, headers, whole ? this.#file : null);
    if (answer.status === 201) {
      this.#url = answer.getResponseHeader("Location");
      this.#offset = offsetOf(answer);
      if (!whole) remember(this.#key, this.#url);
    }
    return answer;
  }

  async #locate() {
    const answer = await this.#ask("HEAD", this.#url);
    if (answer.status === 200) this.#advance((this.#offset = offsetOf(answer)));
    else if (answer.getResponseHeader("X-Refused")) this.#offset = this.#file.size; // where its reason is told again
    else if (isGone(answer)) this.#anew();
    return answer;
  }

  async #continue() {
    const chunk = this.#file.slice(this.#offset, this.#offset + CHUNK_BYTES);
    const headers = { "Upload-Offset": this.#offset, Prefer: "return=representation" };
    const answer = await this.#ask("PATCH", this.#url, headers, chunk);
    if (answer.status === 204) this.#offset = offsetOf(answer);
    else if (isGone(answer)) this.#anew();
    else this.#offset = null;
    return answer;
  }

  #ask(method, url, headers = {}, body = null) {
    const start = this.#offset ?? 0;
    return new Promise((resolve) => {
      const request = (this.#request = new XMLHttpRequest());
      request.open(method, url);
      const type = body && { "Content-Type": "application/offset+octet-stream" };
      const all = { "Tus-Resumable": "1.0.0", Accept: "application/json", ...this.#options.headers(), ...type, ...headers };
      for (const [name, value] of Object.entries(all)) request.setRequestHeader(name, value);
      request.responseType = "json";
      if (body) request.upload.addEventListener("progress", ({ loaded }) => this.#advance(start + loaded));
      request.addEventListener("loadend", () => resolve(request));
      request.send(body);
    });
  }

  #advance(bytes) {
    this.#options.onProgress(this.#file.size ? Math.min(bytes / this.#file.size, 1) : 1);
  }

  #isLast({ status, response }) {
    return Boolean(response?.id) || (status >= 400 && !PASSING.has(status));
  }

  #finished(answer) {
    if (answer.response?.id || answer.getResponseHeader("X-Refused")) this.#forget();
    return answer;
  }

  #anew() {
    this.#forget();
    this.#url = this.#offset = null;
  }

  #forget() {
    forget(this.#key);
  }

  #pause(seconds) {
    return new Promise((resolve) => {
      this.#wake = resolve;
      setTimeout(resolve, seconds * 1000);
      window.addEventListener("online", resolve, { once: true });
    });
  }
}

const offsetOf = (answer) => Number(answer.getResponseHeader("Upload-Offset"));
const isLost = ({ status }) => LOST.has(status);
const isGone = ({ status }) => status === 404 || status === 410;

/** As Upload-Metadata has it; what is empty need not be told. */
function encoded(metadata) {
  const pairs = Object.entries(metadata).filter(([, value]) => value);
  return pairs.map(([name, value]) => `${name} ${base64(value)}`).join(",");
}

function base64(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}

// --- addresses of unfinished uploads, remembered beyond the tab ----------------------------------------------------

const inUse = new Set(); // the same file chosen twice is sent twice

function recall(key) {
  const kept = parsed(stored(key));
  if (inUse.has(key) || !kept || Date.now() - kept.at > KEPT_MS) return null;
  inUse.add(key);
  return kept.url;
}

function remember(key, url) {
  inUse.add(key);
  guarded(() => localStorage.setItem(key, JSON.stringify({ url, at: Date.now() })));
}

function forget(key) {
  inUse.delete(key);
  guarded(() => localStorage.removeItem(key));
}

const stored = (key) => guarded(() => localStorage.getItem(key));
const parsed = (text) => guarded(() => JSON.parse(text));

/** A browser may forbid storage, and others may have written there. */
function guarded(act) {
  try {
    return act();
  } catch {
    return null;
  }
}

for (const key of guarded(() => Object.keys(localStorage)) ?? [])
  if (key.startsWith(PREFIX) && !(Date.now() - parsed(stored(key))?.at < KEPT_MS)) forget(key);
