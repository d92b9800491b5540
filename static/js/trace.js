// A trace that grows: each event of the run lets the server draw it anew, at most twice a second. A team whose members
// work at once has several runs to follow; which ones, each drawing says.

import { follow } from "./stream.js";

const PAUSE = 500;
const followed = new Set();
let due = null;

function redraw() {
  due ??= setTimeout(() => {
    due = null;
    htmx.trigger("#trace", "trace-grown");
  }, PAUSE);
}

function settle() {
  const streams = document.getElementById("trace")?.dataset.stream ?? "";
  for (const url of streams.split(" ").filter(Boolean)) {
    const [run] = url.split("?");
    if (followed.has(run)) continue;
    followed.add(run);
    follow(url, { onEvent: redraw, onEnd: redraw });
  }
}

document.addEventListener("htmx:afterSettle", settle);
settle();
