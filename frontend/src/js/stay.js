// Where nothing is done with what is dropped, the browser stays on the page nevertheless. Fields for files take it in.
for (const type of ["dragover", "drop"]) {
  document.addEventListener(type, (event) => {
    if (!event.target.closest?.("input")) event.preventDefault();
  });
}
