// The lightbox: a picture large over the blurred page, what is known of it beside, turning to the others of its list.
import htmx from "htmx.org";
import PhotoSwipe from "photoswipe";
import { gettext } from "../i18n.js";
import { icon } from "../icon.js";
import { addComparison } from "./comparison.js";
import { keepEntry } from "./entry.js";
import { addFacts, isBeside } from "./facts.js";
import { addSharper } from "./sharper.js";

// How far from the last picture that is loaded more are asked for.
const AHEAD = 4;
const FACTS_PX = 360;
const BAR_PX = 60;

const isStill = matchMedia("(prefers-reduced-motion: reduce)");

export function open(link) {
  const list = link.closest("[data-query-preview], [data-lightbox-group]") ?? document.querySelector("main");
  const slides = linksIn(list).map(toSlide);
  const lightbox = new PhotoSwipe({
    dataSource: slides,
    index: slides.findIndex((slide) => slide.element === link),
    mainClass: "lightbox",
    bgOpacity: 1, // the style sheet says how much shines through
    showHideAnimationType: isStill.matches ? "none" : "zoom",
    paddingFn: ({ x }) => ({ top: BAR_PX, bottom: 16, left: 0, right: isBeside(x) ? FACTS_PX : 0 }),
    wheelToZoom: true,
    returnFocus: false, // to the picture looked at last, not to the first
    closeTitle: gettext("Close (Esc)"),
    zoomTitle: gettext("Zoom (z)"),
    arrowPrevTitle: gettext("Previous"),
    arrowNextTitle: gettext("Next"),
    errorMsg: gettext("The picture cannot be loaded."),
  });
  lightbox.on("uiRegister", () => addButtons(lightbox));
  lightbox.on("change", () => wantMore(lightbox, list));
  lightbox.on("keydown", (event) => pressKey(lightbox, event));
  addFacts(lightbox);
  addSharper(lightbox);
  addComparison(lightbox, list.dataset?.queryPreview);
  whileOpen(lightbox, list, keepEntry(lightbox, link.dataset.facts));
  lightbox.init();
}

const linksIn = (list) => [...list.querySelectorAll("a[data-lightbox]")].filter((link) => link.checkVisibility());

const toSlide = (link) => ({
  element: link,
  src: link.dataset.preview,
  sharper: link.dataset.sharper,
  facts: link.dataset.facts,
  msrc: link.querySelector("img")?.currentSrc,
  thumbCropped: true,
  width: Number(link.dataset.width),
  height: Number(link.dataset.height),
  alt: link.dataset.title,
});

// --- buttons -------------------------------------------------------------------------------------------------

function addButtons(lightbox) {
  const told = () => lightbox.currSlide.data.element.dataset;
  lightbox.ui.registerElement({
    name: "title",
    order: 6,
    onInit: (element) =>
      lightbox.on("change", () => {
        element.textContent = told().title;
        lightbox.element.setAttribute("aria-label", told().title);
      }),
  });
  addLink(lightbox, { name: "page", order: 11, title: gettext("Open its page"), picture: "open" }, (link) => {
    link.href = lightbox.currSlide.data.element.href;
  });
  addLink(lightbox, { name: "download", order: 12, title: gettext("Download the original (d)"), picture: "download" }, (link) => {
    link.hidden = !told().download;
    link.href = told().download ?? "";
    link.download = ""; // the server says the name
  });
}

function addLink(lightbox, { name, order, title, picture }, update) {
  lightbox.ui.registerElement({
    name,
    order,
    title,
    ariaLabel: title,
    tagName: "a",
    isButton: true,
    html: icon(picture),
    onInit: (link) => lightbox.on("change", () => update(link)),
  });
}

function pressKey(lightbox, event) {
  const { originalEvent } = event;
  if (originalEvent.ctrlKey || originalEvent.metaKey || originalEvent.altKey) return;
  const pressed = { d: ".pswp__button--download", i: ".pswp__button--facts", c: ".pswp__button--compare" };
  lightbox.element.querySelector(pressed[originalEvent.key])?.click();
}

// --- the page behind -----------------------------------------------------------------------------------------

/** The page does not scroll, more of its list comes in, and the focus goes back to the picture that was looked at. */
function whileOpen(lightbox, list, left) {
  const root = document.documentElement;
  const takeIn = () => {
    const known = new Set(lightbox.options.dataSource.map((slide) => slide.element));
    const came = linksIn(list).filter((link) => !known.has(link));
    lightbox.options.dataSource.push(...came.map(toSlide));
    if (came.length) lightbox.dispatch("change");
  };
  document.body.style.paddingInlineEnd = `${innerWidth - root.clientWidth}px`; // where its scroll bar was
  root.classList.add("lightbox-open");
  document.addEventListener("htmx:load", takeIn);
  lightbox.on("destroy", () => {
    root.classList.remove("lightbox-open");
    document.body.style.paddingInlineEnd = "";
    document.removeEventListener("htmx:load", takeIn);
    const { element } = lightbox.currSlide.data;
    left.then(() => {
      element.focus({ preventScroll: true });
      element.scrollIntoView({ block: "nearest" });
    });
  });
}

function wantMore(lightbox, list) {
  if (lightbox.currIndex < lightbox.getNumItems() - AHEAD) return;
  const more = list.querySelector(".more[hx-get]");
  if (more) htmx.trigger(more, "intersect");
}
