// A trace that grows: each event of the run lets the server draw it anew, at most twice a second.

import { follow } from "./stream.js";

const PAUSE = 500;
let source = null;
let due = null;

function redraw() {
  due ??= setTimeout(() => {
    due = null;
    htmx.trigger("#trace", "trace-grown");
  }, PAUSE);
}

function settle() {
  const trace = document.getElementById("trace");
  if (source || !trace?.dataset.stream) return;
  source = follow(trace.dataset.stream, { onEvent: redraw, onEnd: redraw });
}

settle();
