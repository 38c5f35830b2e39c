// Names for what the markup of Django's admin leaves without one. Its own scripts make their parts by "load", or in a
// turn that they have asked for before that.
window.addEventListener("load", () => setTimeout(nameAll));

function nameAll() {
  const searched = document.getElementById("searchbar");
  searched?.setAttribute("aria-label", searched.form.querySelector("[type=submit]").value);
  document.querySelectorAll("select.admin-autocomplete").forEach(nameChoice);
  document.querySelectorAll("p.datetime input").forEach(nameMoment);
  for (const tip of document.querySelectorAll(".help-tooltip[aria-label]")) tip.setAttribute("role", "img");
}

/** What stands for the select: by its label, and what is chosen. */
function nameChoice(select) {
  const label = document.querySelector(`label[for="${select.id}"]`);
  label.id ||= `${select.id}-label`;
  for (const part of select.nextElementSibling.querySelectorAll("[role=combobox], [role=textbox], [role=searchbox]")) {
    const chosen = part.getAttribute("role") === "combobox" ? part.getAttribute("aria-labelledby") : "";
    part.setAttribute("aria-labelledby", chosen ? `${label.id} ${chosen}` : label.id);
  }
}

/** A date or a time, which the words before it name. */
function nameMoment(input) {
  input.setAttribute("aria-label", input.previousSibling.textContent.trim().replace(/[:：]$/, ""));
}
