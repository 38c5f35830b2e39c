// Sends files by tus, three at a time at most; Uppy keeps them beyond the page and goes on where it stopped.
import Uppy from "@uppy/core";
import { getSafeFileId } from "@uppy/core/utils";
import GoldenRetriever from "@uppy/golden-retriever";
import Tus from "@uppy/tus";
import { csrfToken } from "../csrf.js";
import { panel, wasUsed } from "./kept.js";

export const AT_ONCE = 3;
const CHUNK_BYTES = 960 * 1024; // proxies take bodies of up to 1 MB unless told otherwise
const PAUSES_MS = [500, 1000, 2000, 4000, 8000, 15000, 30000]; // before each further attempt, as long as none gets further
const LOST = new Set([0, 502, 503, 504]); // no connection, or nothing behind the proxy
const ANEW = new Set([404, 410]); // the server has forgotten it
const MOST_KEPT_BYTES = 2e9;
const RESTORED_MS = 3000;

export class Transfers {
  #uppy;
  #answers = new Map();
  #fileOf = new WeakMap(); // of a request

  /** `listeners`: progress(id, share), lost(id). */
  constructor(place, listeners) {
    const most = panel.dataset.maxMegabytes * 1e6;
    this.#uppy = new Uppy({ id: place, allowMultipleUploadBatches: true })
      .use(Tus, {
        endpoint: panel.dataset.endpoint,
        limit: AT_ONCE,
        chunkSize: CHUNK_BYTES,
        uploadDataDuringCreation: true,
        removeFingerprintOnSuccess: true,
        fileReader: { openFile },
        retryDelays: PAUSES_MS,
        allowedMetaFields: ["name", "collection", "tags"],
        headers: { Accept: "application/json", Prefer: "return=representation" },
        onBeforeRequest: (request, file) => {
          request.setHeader("X-CSRFToken", csrfToken());
          this.#fileOf.set(request, file.id);
        },
        onShouldRetry: (error, attempt, options, byDefault) => {
          const answer = error.originalResponse;
          const status = answer?.getStatus() ?? 0;
          if (answer?.getHeader("X-Refused") || status === 500) return false;
          if (LOST.has(status)) listeners.lost(this.#fileOf.get(error.originalRequest));
          return ANEW.has(status) || byDefault(error);
        },
      });
    this.#uppy.on("upload-progress", (file, { bytesUploaded, bytesTotal }) => {
      listeners.progress(file.id, bytesTotal ? bytesUploaded / bytesTotal : 1);
    });
    this.#uppy.on("upload-success", (file, { uploadURL, body }) => {
      this.#answers.set(file.id, { ...toldBy(body.xhr), uploadURL });
    });
    this.#uppy.on("upload-error", (file, error, response) => {
      this.#answers.set(file.id, toldBy(response?.body.xhr));
    });
    this.restored = this.#restore(place, { maxFileSize: most, maxTotalSize: MOST_KEPT_BYTES });
  }

  async #restore(place, indexedDB) {
    const isThere = wasUsed(place);
    const told = new Promise((resolve) => this.#uppy.once("restored", resolve));
    this.#uppy.use(GoldenRetriever, { indexedDB });
    // what is added before all that was kept is back would be lost; that nothing was kept, nobody says
    if (isThere) await Promise.race([told, new Promise((resolve) => setTimeout(resolve, RESTORED_MS))]);
    this.#uppy.setState({ currentUploads: {}, recoveredState: null }); // the queue begins each anew
    return this.#uppy.getFiles();
  }

  /** What a file is called by here. The same file of the same folder is called the same. */
  idOf(file) {
    return getSafeFileId(described(file, {}), this.#uppy.getID());
  }

  add(files, details) {
    this.#uppy.addFiles(files.map((file) => described(file, details)));
  }

  /** The browser forgot the bytes of a file, and here they are again. */
  giveBack(file) {
    this.#uppy.addFile(described(file, this.#uppy.getFile(this.idOf(file)).meta));
  }

  setDetails(id, details) {
    this.#uppy.setFileMeta(id, details);
  }

  /** What the server answered, or why it cannot be sent: status and response; null once it is removed. */
  async send(id) {
    await this.#uppy.retryUpload(id).catch(() => {});
    const answer = this.#answers.get(id) ?? null;
    this.#answers.delete(id);
    return answer?.uploadURL && !answer.response ? askAgain(answer, this.#uppy.getFile(id)) : answer;
  }

  pause(id) {
    if (!this.#uppy.getFile(id)?.isPaused) this.#uppy.pauseResume(id);
  }

  resume(id) {
    if (this.#uppy.getFile(id)?.isPaused) this.#uppy.pauseResume(id);
  }

  /** Stop for good, and have the server and the browser forget what they have. */
  remove(id) {
    if (this.#uppy.getFile(id)) this.#uppy.removeFile(id);
  }
}

/** What tus sends of a file. One that fits into a chunk is given whole: the page stands still while a browser slices. */
async function openFile(file) {
  const slice = async (start, end) => {
    const isWhole = start === 0 && end >= file.size;
    return { value: isWhole ? file : file.slice(start, end), done: end >= file.size };
  };
  return { size: file.size, slice, close() {} };
}

function described(file, { collection = "", tags = "", looks = false }) {
  return {
    name: file.name,
    type: file.type,
    data: file,
    meta: { relativePath: file.webkitRelativePath || null, collection, tags, looks },
  };
}

function toldBy(xhr) {
  if (!xhr) return { status: 0, response: null };
  return { status: xhr.status, response: parsed(xhr.responseText) };
}

/** Where the answer was lost, an empty request at the end has it told once more. */
async function askAgain({ uploadURL }, file) {
  const headers = {
    "Tus-Resumable": "1.0.0",
    "Upload-Offset": file.size,
    "Content-Type": "application/offset+octet-stream",
    "X-CSRFToken": csrfToken(),
    Accept: "application/json",
    Prefer: "return=representation",
  };
  try {
    const answer = await fetch(uploadURL, { method: "PATCH", headers });
    return { status: answer.status, response: parsed(await answer.text()) };
  } catch {
    return { status: 0, response: null };
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // a proxy may answer with a page
  }
}

export const isLost = (status) => LOST.has(status);
