// The inbox: one socket tells the page when something that waits for a person has come or gone.

const OVER = 4401; // the session has ended: there is nobody to tell
const LONGEST_PAUSE = 30000;
const GATHER = 300;
const known = new Map();
let pause = 1000;
let timer = 0;

function changed() {
  clearTimeout(timer);
  timer = setTimeout(() => htmx.trigger(document.body, "inbox-changed"), GATHER);
}

function hear({ event, data }) {
  if (event === "missed") return changed();
  if (event !== "run.changed") return;
  const before = known.get(data.run_id);
  known.set(data.run_id, data.approvals);
  if (before === undefined ? data.approvals > 0 || data.status !== "pending" : before !== data.approvals) changed();
}

function listen({ isAgain = false } = {}) {
  const socket = new WebSocket(new URL("/ws/inbox", location.href.replace(/^http/, "ws")));
  socket.addEventListener("open", () => {
    pause = 1000;
    if (isAgain) changed(); // what happened in between was told to nobody
  });
  socket.addEventListener("message", (message) => hear(JSON.parse(message.data)));
  socket.addEventListener("close", ({ code }) => {
    if (code === OVER) return;
    setTimeout(() => listen({ isAgain: true }), pause * (0.75 + Math.random() / 2));
    pause = Math.min(pause * 2, LONGEST_PAUSE);
  });
}

// A question that somebody is answering isn't drawn anew under their hands.
document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.target.id === "trace" && event.target.querySelector(".approval :is(input, textarea):focus")) event.preventDefault();
  const list = event.target.closest?.("#approvals");
  if (list && (list.contains(document.activeElement) || list.querySelector("details[open], :checked"))) event.preventDefault();
});

listen();
