// Whether a picture is there already in another form: asked before it is sent, or after it was stored.
import { csrfToken } from "../csrf.js";
import { panel } from "./kept.js";

/** Before it is sent. Status and response: `identical`, an asset or null, and `same_picture`, as a page shows it. */
export async function look(file, signal) {
  const body = new FormData();
  body.append("file", file, file.name);
  return asked(panel.dataset.check, { method: "POST", body, signal });
}

const AT_ONCE = 2; // a search each
const waiting = [];
let running = 0;

/** Of a stored asset: as a page shows it, empty where there is none, or null where that is not known. */
export function samePictures(asset) {
  return new Promise((resolve) => {
    waiting.push({ asset, resolve });
    ask();
  });
}

async function ask() {
  if (running === AT_ONCE || waiting.length === 0) return;
  running += 1;
  const { asset, resolve } = waiting.shift();
  const answer = await fetch(`${asset.url}same/`, { headers: { "HX-Request": "true" } }).catch(() => null);
  resolve(answer?.status === 204 ? "" : answer?.status === 200 ? await answer.text() : null);
  running -= 1;
  ask();
}

/** Puts a stored asset into the trash, or brings it back; whether that came about. */
export const discard = ({ id }) => post(panel.dataset.delete.replace("/0/", `/${id}/`));
export const bringBack = ({ id }) => post(panel.dataset.restore.replace("/0/", `/${id}/`));

async function post(url) {
  const headers = { "X-CSRFToken": csrfToken() };
  const answer = await fetch(url, { method: "POST", headers, redirect: "manual" }).catch(() => null);
  return answer?.type === "opaqueredirect"; // to the page that says so
}

async function asked(url, options) {
  const headers = { Accept: "application/json", "X-CSRFToken": csrfToken() };
  try {
    const answer = await fetch(url, { ...options, headers });
    const response = await answer.json().catch(() => null);
    return { status: answer.ok && !response ? 0 : answer.status, response }; // a proxy may answer with a page
  } catch {
    return { status: 0, response: null };
  }
}
