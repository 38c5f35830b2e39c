// The rail of months: it marks the month in sight, and scrolls to a month that is loaded already.

const rail = () => document.getElementById("rail");
const months = () => [...document.querySelectorAll("#assets .month")];
const reduced = window.matchMedia("(prefers-reduced-motion: reduce)");

let scheduled = false;

for (const type of ["scroll", "htmx:afterSettle"]) {
  document.addEventListener(type, () => {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(mark);
  });
}

function mark() {
  scheduled = false;
  const all = months();
  const inSight = all.findLast((month) => month.getBoundingClientRect().top < window.innerHeight / 3) ?? all[0];
  const wanted = inSight && rail().querySelector(`li li [data-month="${inSight.dataset.month}"]`);
  const marked = rail().querySelector("[aria-current]");
  if (marked === wanted) return;
  marked?.removeAttribute("aria-current");
  if (!wanted) return;
  wanted.setAttribute("aria-current", "true");
  keepInSight(wanted);
}

function keepInSight(link) {
  const box = rail().getBoundingClientRect();
  const { top, bottom } = link.getBoundingClientRect();
  if (top < box.top || bottom > box.bottom) rail().scrollTop += top - box.top - box.height / 2;
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("#rail [data-month]");
  const there = link && months().find((month) => month.dataset.month === link.dataset.month);
  if (!there || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  there.scrollIntoView({ behavior: reduced.matches ? "instant" : "smooth" });
});
