// "/" goes to the search; up and down walk from it along the hits; what "Remember something" leads to is unfolded.

const isWriting = (element) => element.matches?.("input, textarea, select, [contenteditable]");

function toSearch(event) {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || isWriting(event.target)) return;
  event.preventDefault();
  document.getElementById("memory-words")?.select();
}

function walk(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const search = document.getElementById("memory-words");
  const hits = [...document.querySelectorAll("[data-walk] .memory-text")];
  const at = event.target === search ? -1 : hits.indexOf(event.target);
  if (!step || event.ctrlKey || event.metaKey || event.altKey || (at < 0 && event.target !== search)) return;
  const next = at + step;
  if (next >= hits.length || (event.target === search && step < 0)) return;
  event.preventDefault();
  if (next < 0) search.select();
  else hits[next].focus();
}

function unfold() {
  if (location.hash !== "#remember") return;
  const form = document.getElementById("remember");
  if (!form) return;
  form.open = true;
  form.querySelector("textarea")?.focus();
}

document.addEventListener("keydown", toSearch);
document.addEventListener("keydown", walk);
window.addEventListener("hashchange", unfold);
unfold();
