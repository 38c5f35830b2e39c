// What is unsent, files and all: the browser keeps it beyond the page and the tab, for a day.
import { createStore, delMany, entries, set, setMany } from "idb-keyval";

const KEPT_MS = 24 * 60 * 60 * 1000;
const MOST_BYTES = 2e9;

// Two keys an upload: what is said of it changes, and its file, which may be large, does not.
const aboutKey = (id) => ["about", id];
const fileKey = (id) => ["file", id];

const isPast = ({ addedAt }) => addedAt < Date.now() - KEPT_MS;

export class Store {
  #place;
  #store = null;
  #sizeOf = new Map(); // of each file, or 0 as long as it is not kept
  #bytes = 0;

  constructor(place) {
    this.#place = place;
  }

  /**
   * All that is kept, those added last first, and how many were kept for too long. `file` is missing where the browser
   * had no room for it. Rejects where the browser gives nothing back.
   */
  async recall() {
    const kept = await entries(this.#opened());
    const fileOf = new Map(kept.filter(([[kind]]) => kind === "file").map(([[, id], file]) => [id, file]));
    const uploads = kept.filter(([[kind]]) => kind === "about").map(([, about]) => about);
    for (const { id } of uploads) this.#note(id, fileOf.get(id)?.size ?? 0);
    const past = uploads.filter(isPast);
    await this.forget(past);
    const open = uploads
      .filter((upload) => !isPast(upload))
      .sort((a, b) => b.addedAt - a.addedAt || a.number - b.number)
      .map((upload) => ({ ...upload, file: fileOf.get(upload.id) }));
    return { open, past: past.length };
  }

  isKept = ({ id }) => this.#sizeOf.get(id) > 0;

  /** Keeps uploads with their files, as many as there is room for. */
  async keep(uploads) {
    for (const { id } of uploads) this.#note(id, 0);
    await this.keepWhatIsSaid(uploads);
    // one by one: while some are being kept, others are sent and forgotten
    for (const { id, file } of uploads) {
      if (!this.#sizeOf.has(id) || this.#bytes + file.size > MOST_BYTES) continue;
      const isKept = await this.#guarded(set, fileKey(id), file);
      if (isKept && this.#sizeOf.has(id)) this.#note(id, file.size);
    }
  }

  keepWhatIsSaid(uploads) {
    const said = ({ id, name, relativePath, size, looks, details, addedAt, number, state }) => {
      return [aboutKey(id), { id, name, relativePath, size, looks, details, addedAt, number, state }];
    };
    return this.#guarded(setMany, uploads.map(said));
  }

  forget(uploads) {
    for (const { id } of uploads) {
      this.#note(id, 0);
      this.#sizeOf.delete(id);
    }
    return this.#guarded(delMany, uploads.flatMap(({ id }) => [aboutKey(id), fileKey(id)]));
  }

  #note(id, size) {
    this.#bytes += size - (this.#sizeOf.get(id) ?? 0);
    this.#sizeOf.set(id, size);
  }

  #opened() {
    return (this.#store ??= createStore(this.#place, "uploads"));
  }

  /** Whether it was done: a browser may forbid it, or have no room. */
  async #guarded(act, ...values) {
    try {
      await act(...values, this.#opened());
      return true;
    } catch {
      return false;
    }
  }
}
