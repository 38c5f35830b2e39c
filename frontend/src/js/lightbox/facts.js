// What is known of a picture, beside it; on a narrow screen below, over its lower half.
import { gettext } from "../i18n.js";
import { icon } from "../icon.js";

const WIDE_PX = 900;
const KEPT = "lightbox.facts";

const kept = localStorage.getItem(KEPT);
let isShown = kept ? kept === "shown" : innerWidth >= WIDE_PX;

/** Whether they take room from the picture, in a window so wide. */
export const isBeside = (width) => isShown && width >= WIDE_PX;

export function addFacts(lightbox) {
  const panel = document.createElement("aside");
  panel.className = "lightbox-facts";
  panel.setAttribute("aria-label", gettext("What is known of the picture"));
  panel.tabIndex = 0; // it scrolls
  let asked = new AbortController();

  lightbox.on("uiRegister", () => {
    lightbox.element.append(panel);
    const title = gettext("What is known of it (i)");
    lightbox.ui.registerElement({
      name: "facts",
      order: 13,
      title,
      ariaLabel: title,
      isButton: true,
      html: icon("info"),
      onInit: (button) => button.setAttribute("aria-pressed", isShown),
      onClick: (_, button) => {
        isShown = !isShown;
        localStorage.setItem(KEPT, isShown ? "shown" : "hidden");
        button.setAttribute("aria-pressed", isShown);
        show();
        lightbox.updateSize(true);
      },
    });
  });
  lightbox.on("change", show);
  lightbox.on("destroy", () => asked.abort());

  async function show() {
    asked.abort();
    panel.hidden = !isShown;
    const { facts } = lightbox.currSlide.data.element.dataset;
    if (!isShown || panel.dataset.of === facts) return;
    asked = new AbortController();
    const { signal } = asked;
    try {
      const answer = await fetch(facts, { signal, headers: { "HX-Request": "true" } });
      if (!answer.ok) throw new Error(answer.status);
      panel.innerHTML = await answer.text();
      panel.dataset.of = facts;
    } catch {
      if (!signal.aborted) panel.textContent = gettext("What is known of it cannot be loaded.");
    }
  }
}
