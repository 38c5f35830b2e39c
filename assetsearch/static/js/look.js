// Asks whether a picture is there already, before it is uploaded.

export class Look {
  #file;
  #options;
  #running = null;

  /** `options`: endpoint, headers(). */
  constructor(file, options) {
    this.#file = file;
    this.#options = options;
  }

  /** Status and response: what was found, or why it cannot be told; null once it is stopped. */
  async send() {
    const { signal } = (this.#running = new AbortController());
    const headers = { Accept: "application/json", ...this.#options.headers() };
    const body = new FormData();
    body.append("file", this.#file);
    try {
      const answer = await fetch(this.#options.endpoint, { method: "POST", body, signal, headers });
      const response = await answer.json().catch(() => null);
      if (signal.aborted) return null;
      return { status: answer.ok && !response ? 0 : answer.status, response }; // a proxy may answer with a page
    } catch {
      return signal.aborted ? null : { status: 0, response: null };
    }
  }

  stop() {
    this.#running?.abort();
  }

  /** As a transfer is, of which the server has something. */
  discard() {
    this.stop();
  }
}
