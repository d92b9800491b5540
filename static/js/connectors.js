// While a sync is under way, the list is asked for again; not behind the reader's back.

setInterval(() => {
  const list = document.getElementById("connectors");
  if (list?.hasAttribute("data-unfinished") && !document.hidden) htmx.trigger(list, "connectors-changed");
}, 1000);
