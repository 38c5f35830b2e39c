// The gallery: filters apply as they change, pages come as one scrolls, pending tiles become ready by themselves, and what
// is uploaded shows.
import { askOnce } from "../once.js";
import "../bulk.js";
import "../newest.js";
import "../paging.js";
import "../rail.js";
import "../watch.js";

const filters = document.getElementById("filters");
askOnce(filters);

// Whoever types faster than the page loads is heard all the same.
window.addEventListener("load", () => {
  if (filters.elements.q.value !== filters.elements.q.defaultValue) filters.requestSubmit();
});

const look = document.querySelector("[data-look]");
look.addEventListener("change", ({ target }) => {
  document.querySelector(".browse").dataset[target.name] = target.value;
});
