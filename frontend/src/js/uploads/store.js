// What is unsent, files and all: the browser keeps it beyond the page and the tab, for a day.
import { createStore, delMany, entries, set, setMany } from "idb-keyval";

const KEPT_MS = 24 * 60 * 60 * 1000;
const MOST_BYTES = 2e9;

// Two keys an upload: what is said of it changes, and its file, which may be large, does not.
const aboutKey = (id) => ["about", id];
const fileKey = (id) => ["file", id];

export class Store {
  #store;
  #sizeOf = new Map(); // of each file, or 0 as long as it is not kept
  #bytes = 0;

  constructor(place) {
    this.#store = createStore(place, "uploads");
  }

  /** All that is kept, those added last first. `file` is missing where the browser had no room for it. */
  async recall() {
    const kept = (await this.#guarded(entries)) ?? [];
    const fileOf = new Map(kept.filter(([[kind]]) => kind === "file").map(([[, id], file]) => [id, file]));
    const uploads = kept.filter(([[kind]]) => kind === "about").map(([, about]) => about);
    for (const { id } of uploads) this.#note(id, fileOf.get(id)?.size ?? 0);
    const [past, open] = [[], []];
    for (const upload of uploads) (upload.addedAt < Date.now() - KEPT_MS ? past : open).push(upload);
    this.forget(past);
    return open
      .sort((a, b) => b.addedAt - a.addedAt || a.number - b.number)
      .map((upload) => ({ ...upload, file: fileOf.get(upload.id) }));
  }

  /** Keeps uploads with their files, as many as there is room for. */
  async keep(uploads) {
    for (const { id } of uploads) this.#note(id, 0);
    await this.keepWhatIsSaid(uploads);
    // one by one: while some are being kept, others are sent and forgotten
    for (const { id, file } of uploads) {
      if (!this.#sizeOf.has(id) || this.#bytes + file.size > MOST_BYTES) continue;
      this.#note(id, file.size);
      await this.#guarded(set, fileKey(id), file);
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

  /** A browser may forbid it, or have no room. */
  async #guarded(act, ...values) {
    try {
      return await act(...values, this.#store);
    } catch {
      return null;
    }
  }
}
