// Searches with pictures that were dropped or pasted on any page. They are sent from where one is: files would not come
// along to another page.
import { gettext } from "./i18n.js";
import { Queue } from "./queue.js";
import { beginReport } from "./report.js";
import { send, wordsFor } from "./send.js";
import { toast } from "./toasts.js";

const dialog = document.getElementById("searching");
let queue = null;

/** One picture leads to what looks like it; several, to a match report. */
export function searchWith(files) {
  if (!dialog) toast(gettext("Sign in to search with a picture."), "error"); // on the page where one does
  else if (files.length === 1) searchWithOne(files[0]);
  else searchWithMany(files);
}

async function searchWithOne(file) {
  const body = new FormData();
  body.append("image", file);
  document.body.toggleAttribute("data-searching", true);
  const answer = await send(dialog.dataset.search, body);
  if (answer.status === 200) window.location.assign(answer.url);
  else {
    document.body.toggleAttribute("data-searching", false);
    toast(refusalIn(answer) ?? wordsFor(answer), "error");
  }
}

/** What the page says that came back. */
function refusalIn({ text }) {
  const page = new DOMParser().parseFromString(text, "text/html");
  return page.querySelector("[role=alert][data-announce]")?.dataset.announce;
}

/** Pictures, as files or as addresses. */
export function searchWithMany(pictures) {
  if (!dialog?.dataset.reports) {
    toast(gettext("Sign in to search with several pictures at once."), "error");
    return;
  }
  queue ??= begin();
  queue.add(pictures);
  if (!dialog.open) dialog.showModal();
}

function begin() {
  const open = dialog.querySelector("[data-open-report]");
  let address = null;
  const endpoint = () => {
    address ??= beginReport(dialog.dataset.reports);
    address.then(
      (url) => (open.href = url),
      () => (address = null), // to be begun when pictures are tried again
    );
    return address;
  };
  dialog.addEventListener("cancel", (event) => {
    if (queue.isBusy) event.preventDefault();
  });
  return new Queue(dialog.querySelector("[data-queue]"), {
    endpoint,
    answered: (_, html) => verdictIn(html),
    settled: () => settle(open),
  });
}

function verdictIn(html) {
  const section = new DOMParser().parseFromString(html, "text/html").querySelector("[data-verdict]");
  return section.querySelector("[data-verdict-words]").textContent;
}

/** To the report, unless something is left to be tried again. */
function settle(open) {
  if (!queue.count("done")) return;
  open.hidden = false;
  if (!queue.count("unsent", "refused")) window.location.assign(open.href);
}
