// Uploads, from any page. They go on while one moves from page to page, and after a closed tab.
import { hasSomething, panel } from "./uploads/kept.js";

export const mayUpload = panel !== null;

async function load() {
  const [queue] = await Promise.all([import("./uploads/queue.js"), import("./uploads/panel.js")]);
  return queue;
}

/** Takes in files, an array of File. `details`: what is said of them all: collection, tags, looks (first, whether it is there). */
export async function upload(files, details = {}) {
  const { add } = await load();
  add(files, details);
}

if (hasSomething()) load();
