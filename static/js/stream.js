// A run's events as they come, each once and in order.

const TERMINAL = new Set(["run.completed", "run.failed", "run.cancelled"]);

/**
 * Follow a run. `onEvent` gets each stored event once; `onToken` the live text; `onEnd` is called once, after the
 * run's last event; `onLost` when the server refuses to go on. The browser resumes by itself from the last id.
 */
export function follow(url, { onEvent, onToken = () => {}, onEnd = () => {}, onLost = () => {} }) {
  const source = new EventSource(url);
  let lastSeq = 0;
  source.addEventListener("run.event", (message) => {
    const event = JSON.parse(message.data);
    if (event.type === "llm.token") return onToken(event.payload);
    if (event.seq <= lastSeq) return;
    lastSeq = event.seq;
    onEvent(event);
    if (TERMINAL.has(event.type)) {
      source.close();
      onEnd(event);
    }
  });
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) onLost();
  });
  return source;
}

/** The text of one answer while it is being written. Offsets count characters, not UTF-16 units. */
export class Draft {
  constructor(element) {
    this.node = element.appendChild(document.createTextNode(""));
    this.length = 0;
  }

  add({ token, offset = this.length }) {
    if (offset > this.length) return; // a part is missing: the next text from 0 will bring it
    if (offset < this.length) this.cut(offset);
    this.node.appendData(token);
    this.length += [...token].length;
  }

  cut(length) {
    this.node.data = [...this.node.data].slice(0, length).join("");
    this.length = length;
  }

  take() {
    const text = this.node.data;
    this.cut(0);
    return text;
  }
}
