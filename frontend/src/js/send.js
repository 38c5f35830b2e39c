// A form sent by script, with its progress.
import { csrfToken } from "./csrf.js";
import { gettext, interpolate } from "./i18n.js";

/** Status and text of the answer, and the address it came from in the end; status 0 where the server was not reached;
 * null once `signal` aborts. */
export function send(url, body, { onProgress, signal, headers = {} } = {}) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open("POST", url);
    for (const [name, value] of Object.entries({ "X-CSRFToken": csrfToken(), ...headers })) {
      request.setRequestHeader(name, value);
    }
    request.upload.addEventListener("progress", ({ loaded, total }) => onProgress?.(total ? loaded / total : 1));
    request.addEventListener("load", () => {
      resolve({ status: request.status, text: request.responseText, url: request.responseURL });
    });
    request.addEventListener("error", () => resolve({ status: 0, text: "" }));
    request.addEventListener("abort", () => resolve(null));
    signal?.addEventListener("abort", () => request.abort());
    request.send(body);
  });
}

/** What a refusal says for people, or what to do where it is none of ours. */
export function wordsFor({ status, text }) {
  const told = parsed(text)?.detail;
  if (told) return told;
  if (status === 0) return gettext("The server cannot be reached. Retry when it is back.");
  if (status === 401) return gettext("You are not signed in any more. Sign in in another tab, then retry.");
  if (status === 403) return gettext("The page was open for too long. Reload it and try again.");
  if (status === 404) return gettext("It is not there any more. Reload the page.");
  if (status === 413) return gettext("The server takes no file this large.");
  return interpolate(gettext("Something went wrong on the server (%(status)s). Retry in a moment."), { status });
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
