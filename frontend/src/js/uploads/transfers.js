// Sends files by tus, two at a time at most, and goes on where an earlier page stopped. Uppy is given those alone that
// are being sent: whatever becomes of one, it goes through all that it has.
import Uppy from "@uppy/core";
import { getSafeFileId } from "@uppy/core/utils";
import Tus from "@uppy/tus";
import { csrfToken } from "../csrf.js";
import { panel } from "./kept.js";

// As many as the server decodes side by side; the rest of its processors is for whoever works beside them.
export const AT_ONCE = 2;
const CHUNK_BYTES = 960 * 1024; // proxies take bodies of up to 1 MB unless told otherwise
const PAUSES_MS = [500, 1000, 2000, 4000, 8000, 15000, 30000]; // before each further attempt, as long as none gets further
const LOST = new Set([0, 502, 503, 504]); // no connection, or nothing behind the proxy
const ANEW = new Set([404, 410]); // the server has forgotten it

export class Transfers {
  #uppy;
  #answers = new Map();
  #fileOf = new WeakMap(); // of a request

  /** `listeners`: progress(id, share), lost(id). */
  constructor(place, listeners) {
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
  }

  /** What a file is called by here. The same file of the same folder is called the same. */
  idOf(file) {
    return getSafeFileId(described({ file, relativePath: file.webkitRelativePath }), this.#uppy.getID());
  }

  /** What the server answered, or why it cannot be sent: status and response; null once it is removed. */
  async send(upload) {
    const { id, size } = upload;
    if (!this.#uppy.getFile(id)) this.#uppy.addFile(described(upload));
    await this.#uppy.retryUpload(id).catch(() => {});
    const answer = this.#answers.get(id) ?? null;
    this.#answers.delete(id);
    return answer?.uploadURL && !answer.response ? askAgain(answer, size) : answer;
  }

  pause(id) {
    if (!this.#uppy.getFile(id)?.isPaused) this.#uppy.pauseResume(id);
  }

  resume(id) {
    if (this.#uppy.getFile(id)?.isPaused) this.#uppy.pauseResume(id);
  }

  /** Stop. Of one that is being sent, the server forgets what it has; one that failed goes on from there when sent again. */
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

function described({ file, relativePath, details }) {
  return { name: file.name, type: file.type, data: file, meta: { relativePath: relativePath || null, ...details } };
}

function toldBy(xhr) {
  if (!xhr) return { status: 0, response: null };
  return { status: xhr.status, response: parsed(xhr.responseText) };
}

/** Where the answer was lost, an empty request at the end has it told once more. */
async function askAgain({ uploadURL }, size) {
  const headers = {
    "Tus-Resumable": "1.0.0",
    "Upload-Offset": size,
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
