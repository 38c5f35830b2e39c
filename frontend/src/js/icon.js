// A picture of the icons that pages use.

/** As markup, for what scripts draw. */
export const icon = (name) => {
  const [sheet] = document.querySelector("svg.icon use").getAttribute("href").split("#");
  return `<svg class="icon" aria-hidden="true"><use href="${sheet}#${name}"/></svg>`;
};
