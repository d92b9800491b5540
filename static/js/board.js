// What comes on a board is seen as it comes; not behind the reader's back, nor under the hands of one who writes.

const PAUSE = 300;
const AGAIN = 10000; // after a refusal: perhaps too many are watching
let source = null;
let state = null; // of the board, as the server told it last
let due = 0;

const board = () => document.getElementById("board");

function isBusy() {
  return document.hidden || board().contains(document.activeElement) || board().querySelector("details[open]");
}

/** Draw the board anew if there is something new, a moment from now: what else comes is drawn with it. */
function draw() {
  clearTimeout(due);
  due = setTimeout(() => {
    if (state !== null && state !== board().dataset.state && !isBusy()) htmx.trigger(board(), "board-changed");
  }, PAUSE);
}

function listen() {
  if (source || document.hidden) return;
  source = new EventSource(board().dataset.stream);
  source.addEventListener("board.changed", ({ data }) => {
    state = JSON.parse(data).state;
    draw();
  });
  source.addEventListener("error", () => {
    if (source?.readyState === EventSource.CLOSED) setTimeout(listen, AGAIN, (source = null));
  });
}

/** A window that nobody looks at keeps no connection: a browser has few for one site. */
function rest() {
  source?.close();
  source = null;
}

if (board()) {
  document.addEventListener("visibilitychange", () => (document.hidden ? rest() : listen()));
  document.addEventListener("focusout", draw);
  document.addEventListener("toggle", draw, { capture: true });
  listen();
}
