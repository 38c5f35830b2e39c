// The one dialog: links whose answer lands in it open it; without script they are pages.

const dialog = document.getElementById("dialog");

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target !== dialog || dialog.open) return;
  dialog.showModal();
  dialog.scrollTop = 0; // its first control has the focus now, which may stand at its end
});

dialog.addEventListener("click", (event) => {
  const isBackdrop = event.target === dialog && !contains(dialog.getBoundingClientRect(), event);
  if (!event.target.closest("[data-close]") && !isBackdrop) return;
  event.preventDefault();
  dialog.close();
});

function contains(box, { clientX, clientY }) {
  return clientX >= box.left && clientX <= box.right && clientY >= box.top && clientY <= box.bottom;
}

for (const menu of document.querySelectorAll("[data-menu]")) {
  document.addEventListener("click", (event) => {
    if (!menu.contains(event.target)) menu.open = false;
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
}
