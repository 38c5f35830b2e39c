// Short messages at the edge of the page. Errors stay until they are closed.

const SHOWN_MS = 6000;
const toasts = document.getElementById("toasts");

export function toast(text, kind = "") {
  const message = document.createElement("p");
  message.className = `toast ${kind}`;
  message.textContent = text;
  toasts.append(message);
  arm(message);
}

function arm(message) {
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = "×";
  close.setAttribute("aria-label", "Close");
  close.addEventListener("click", () => message.remove());
  message.append(close);
  if (!message.classList.contains("error")) setTimeout(() => message.remove(), SHOWN_MS);
}

toasts.querySelectorAll("[data-toast]").forEach(arm);

/** Says something to those who listen instead of looking. */
export function announce(text) {
  document.getElementById("announcer").textContent = text;
}
