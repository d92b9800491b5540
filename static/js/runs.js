// While runs on the page are under way, the list is asked for again; not behind the reader's back.

setInterval(() => {
  const list = document.getElementById("run-list");
  if (list?.hasAttribute("data-unfinished") && !document.hidden) htmx.trigger(list, "runs-changed");
}, 2000);
