// The picture searched with and the one that was found: side by side, or one over the other with a slider between.
import { gettext } from "../i18n.js";
import { icon } from "../icon.js";

const MODES = ["", "beside", "slider"];

export function addComparison(lightbox, query) {
  if (!query) return;
  const view = drawn(query);
  const found = view.querySelector("[data-found]");
  let mode = 0;

  lightbox.on("uiRegister", () => {
    lightbox.element.append(view);
    const title = gettext("Compare with the picture searched with (c)");
    lightbox.ui.registerElement({
      name: "compare",
      order: 9,
      title,
      ariaLabel: title,
      isButton: true,
      html: icon("compare"),
      onClick: () => show((mode + 1) % MODES.length),
    });
  });
  lightbox.on("change", () => show(mode));

  function show(chosen) {
    mode = chosen;
    const { data } = lightbox.currSlide;
    view.hidden = !MODES[mode];
    view.dataset.mode = MODES[mode];
    lightbox.element.classList.toggle("comparing", !view.hidden);
    for (const button of view.querySelectorAll("[data-show]")) {
      button.setAttribute("aria-pressed", button.dataset.show === MODES[mode]);
    }
    if (view.hidden) return;
    found.src = data.src;
    found.alt = data.alt;
  }

  view.addEventListener("click", ({ target }) => {
    const button = target.closest("[data-show]");
    if (button) show(MODES.indexOf(button.dataset.show));
  });
}

function drawn(query) {
  const view = document.createElement("div");
  view.className = "comparison";
  view.hidden = true;
  view.innerHTML = `
    <div class="comparison-modes" role="group">
      <button type="button" data-show="beside"></button>
      <button type="button" data-show="slider"></button>
      <button type="button" data-show=""></button>
    </div>
    <div class="comparison-pictures">
      <figure><img data-query><figcaption></figcaption></figure>
      <figure><img data-found><figcaption></figcaption></figure>
      <input type="range" min="0" max="100" value="50">
    </div>`;
  const words = [gettext("Side by side"), gettext("Slider"), gettext("Result alone")];
  view.querySelectorAll("[data-show]").forEach((button, place) => (button.textContent = words[place]));
  const [yours, theirs] = view.querySelectorAll("figcaption");
  yours.textContent = gettext("Searched with");
  theirs.textContent = gettext("Found");
  const picture = view.querySelector("[data-query]");
  picture.src = query;
  picture.alt = gettext("The picture searched with");
  slide(view);
  return view;
}

function slide(view) {
  const slider = view.querySelector("input");
  const cut = () => view.style.setProperty("--cut", `${slider.value}%`);
  slider.setAttribute("aria-label", gettext("How much of the picture searched with is shown"));
  slider.addEventListener("input", cut);
  slider.addEventListener("keydown", (event) => event.key.startsWith("Arrow") && event.stopPropagation());
  cut();
}
