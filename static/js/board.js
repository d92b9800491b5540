// What comes on a board is seen within two seconds; not behind the reader's back, nor under the hands of one who writes.

const PAUSE = 2000;

setInterval(() => {
  const board = document.getElementById("board");
  if (!board || document.hidden) return;
  if (board.contains(document.activeElement) || board.querySelector("details[open]")) return;
  htmx.trigger(board, "board-changed");
}, PAUSE);
