// Tags separated by commas: names are offered for the last of them, not only for the first.

document.addEventListener("input", offerNames);
document.addEventListener("focusin", offerNames); // fields share the names, each with what stands before them

function offerNames({ target }) {
  if (target.list?.id !== "tag-names") return;
  const before = target.value.slice(0, target.value.lastIndexOf(",") + 1);
  for (const option of target.list.options) {
    option.dataset.name ??= option.value;
    option.value = before ? `${before} ${option.dataset.name}` : option.dataset.name;
  }
}
