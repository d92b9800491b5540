// While something on the page is under way, the server tells when it is further, and the list is asked for again.

const PAUSE = 500;
const AGAIN = 5000;
let source = null;
let due = null;

function list() {
  return document.querySelector("[hx-trigger=progressed]");
}

/** Ask for the list; not behind the reader's back, and not more than twice a second. */
function redraw() {
  if (document.hidden) return;
  due ??= setTimeout(() => {
    due = null;
    htmx.trigger(list(), "progressed");
  }, PAUSE);
}

function end(pause) {
  source.close();
  source = null;
  setTimeout(redraw, pause);
}

function settle() {
  const url = list()?.dataset.progress;
  if (!url || source) return;
  source = new EventSource(url);
  source.addEventListener("progress", redraw);
  source.addEventListener("done", () => end(0));
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) end(AGAIN); // refused, or too many are watching
  });
}

document.addEventListener("htmx:afterSettle", settle);
document.addEventListener("visibilitychange", redraw);
settle();
