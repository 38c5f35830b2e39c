// Files dropped anywhere on the page, or pasted.

/** Calls `take(files)`, an array of File, for each drop and paste. Folders are read through to their last file. */
export function onFiles(take) {
  let depth = 0;
  const mark = (dragging) => document.body.toggleAttribute("data-dragging", dragging);

  document.addEventListener("dragenter", (event) => {
    if (holdsFiles(event)) mark(++depth > 0);
  });
  document.addEventListener("dragleave", (event) => {
    if (holdsFiles(event)) mark(--depth > 0);
  });
  document.addEventListener("dragover", (event) => {
    if (holdsFiles(event)) event.preventDefault();
  });
  document.addEventListener("drop", async (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    mark(Boolean((depth = 0)));
    const files = await filesOf(event.dataTransfer);
    if (files.length) take(files);
  });
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length === 0) return;
    event.preventDefault();
    take(files);
  });
}

const holdsFiles = (event) => Boolean(event.dataTransfer?.types.includes("Files"));

async function filesOf(transfer) {
  // entries are gone once the event is over: take them before anything is waited for
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  return (await Promise.all(entries.map(filesUnder))).flat();
}

async function filesUnder(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // 100 at a time
    if (some.length === 0) break;
    found.push(...some);
  }
  return (await Promise.all(found.map(filesUnder))).flat();
}
