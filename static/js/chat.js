// The conversation: tasks are sent with htmx, their runs are followed here, the finished answer comes from the server.

import { Attachments } from "./attachments.js";
import { Draft, follow } from "./stream.js";

const turns = document.getElementById("turns");
const composer = document.getElementById("composer");
const task = document.getElementById("task");
const announcer = document.getElementById("announcer");
const words = document.getElementById("words").dataset;
const hint = composer?.querySelector("[data-hint]");
const send = composer?.querySelector("[data-send]");
const attachments = composer && new Attachments(composer, words, { onChange: () => update() });
const ICONS = { read: "file", write: "pencil", edit: "pencil", list: "folder", glob: "folder", grep: "search", memory: "search", export: "download" };
const TELLING = ["path", "pattern", "query", "run_id", "url", "name", "command", "to", "decision", "text", "goal"];

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  svg.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "use")).setAttribute("href", `${words.icons}#${name}`);
  return svg;
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function aboutCall(args) {
  if (typeof args !== "object" || args === null) return String(args ?? "").slice(0, 140);
  const telling = TELLING.filter((name) => args[name]).map((name) => args[name]);
  return (telling.length ? telling.join("  ") : JSON.stringify(args)).slice(0, 140);
}

function duration(milliseconds) {
  return milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}

function gist(text) {
  const line = text.slice(0, 560).replace(/\s+/g, " ").trim();
  return line.length > 140 ? `${line.slice(0, 139)}…` : line;
}

function traceOf(run, text) {
  const link = element("a", "", text);
  link.href = `/trace/${run}`;
  return link;
}

/** One task under way: its calls and its answer, drawn as they happen. Text nodes only: nothing here is markup. */
class LiveTurn {
  constructor(article) {
    this.article = article;
    this.drawnUpTo = Number(article.dataset.seq);
    this.calls = article.querySelector("[data-calls]");
    this.calls.replaceChildren();
    this.said = article.querySelector("[data-said]");
    this.said.replaceChildren();
    this.draft = new Draft(article.querySelector("[data-text]"));
    this.speaker = article.querySelector("[data-speaker]");
    this.member = null; // of a team: who is at work
    this.lines = new Map();
    announcer.textContent = words.working;
    this.onInbox = () => this.awaitsOthers && this.wait(); // one of them may ask a person
    document.body.addEventListener("inbox-changed", this.onInbox);
    this.source = follow(article.dataset.stream, {
      onEvent: (event) => this.take(event),
      onToken: (payload) => this.write(payload),
      onEnd: () => this.end(),
      onLost: () => this.lost(),
    });
  }

  get awaitsOthers() {
    return !this.article.querySelector("[data-awaiting]").hidden;
  }

  write(payload) {
    stayAtEnd(() => this.draft.add(payload));
  }

  take({ seq, type, payload }) {
    stayAtEnd(() => {
      if (type === "step.started") this.began(payload);
      if (type === "llm.called") this.answered(payload);
      if (type === "tool.called") this.called(payload);
      if (type === "tool.blocked") this.blocked(payload);
      if (type === "tool.result") this.returned(payload);
      if (type === "user.injected") this.told(payload);
      if (type === "member.started") this.took(payload);
      if (type === "member.completed") this.gave(payload);
      if (type === "member.failed") this.note("failed", payload.message, payload.role);
      if (type.startsWith("message.")) this.heard(type.slice("message.".length), payload);
      if (type === "run.waiting" && payload.awaits) this.handedOn(payload.awaits);
      else if (type === "run.waiting" && seq > this.drawnUpTo) this.wait(); // an earlier one has been answered
      if (type === "run.resumed") this.article.querySelector("[data-awaiting]").hidden = true;
      if (type === "run.resumed" && payload.losses > 0) this.note("resumed", words.resumed);
      if (type === "step.retried") this.note("retry", words.retried);
      if (type === "step.retried" || type === "run.resumed") this.draft.take();
    });
  }

  began({ stepNumber }) {
    const status = this.article.querySelector("[data-status]");
    const where = this.member ?? (stepNumber > 1 ? `${words.step} ${stepNumber}` : "");
    const label = element("span", "is-live", where ? `${words.running} · ${where}` : words.running);
    status.className = "status running";
    status.replaceChildren(icon("running"), label);
    this.article.dataset.heard = "";
    update();
  }

  /** A member of a team takes its turn: what is said from here on is its contribution, the lead's is the answer. */
  took({ role, round, isLead, runId }) {
    this.draft.take();
    this.member = runId ? null : `${role} · ${words.round} ${round}`;
    const line = document.createElement("li");
    line.className = "call member";
    line.append(icon("person"), element("b", "", role));
    if (isLead) line.append(element("span", "tag", words.lead));
    const about = element("span", "about", "");
    about.append(runId ? traceOf(runId, `${words.round} ${round}`) : `${words.round} ${round}`);
    line.append(about);
    this.calls.append(line);
    this.speaker.textContent = role;
    this.speaker.hidden = Boolean(runId); // what is written in a run of its own is seen there
    announcer.textContent = this.member ?? role;
  }

  gave({ role, output, isLead }) {
    this.draft.take();
    this.speaker.hidden = true;
    if (isLead) this.draft.add({ token: output ?? "", offset: 0 });
    else this.note("completed", gist(output ?? ""), role);
  }

  heard(kind, { text, decision, toRole }) {
    const card = element("li", `card says-${kind}`, "");
    const head = element("p", "card-head", "");
    head.append(element("b", "", words[kind] ?? kind));
    if (toRole) head.append(element("span", "", `→ ${toRole}`));
    const said = element("p", "card-text", (text ?? decision ?? "").slice(0, 600));
    said.dir = "auto";
    card.append(head, said);
    this.calls.append(card);
  }

  told({ from, message }) {
    const line = element("p", "saying", "");
    line.dir = "auto";
    line.append(element("b", "", from), ` ${message}`);
    this.said.append(line);
  }

  answered(payload) {
    const text = this.draft.take();
    if (!payload.toolCalls?.length) this.draft.add({ token: payload.text ?? text, offset: 0 });
    else if (payload.text?.trim()) this.note("chat", payload.text.trim());
  }

  called({ toolName, tool_call_id: id, args }) {
    const line = document.createElement("li");
    line.className = "call running";
    line.append(icon(ICONS[toolName.split("_")[0]] ?? "tool"), element("code", "name", toolName), element("span", "about", aboutCall(args)), element("span", "took", "…"));
    this.lines.set(id, line);
    this.calls.append(line);
    announcer.textContent = `${toolName} ${aboutCall(args)}`;
  }

  blocked(payload) {
    this.called(payload);
    this.settle(payload.tool_call_id, "blocked", words.blocked);
  }

  returned({ tool_call_id: id, isError, duration_ms: took }) {
    if (this.lines.get(id)?.classList.contains("blocked")) return;
    this.settle(id, isError ? "failed" : "completed", isError ? words.failed : duration(took ?? 0));
  }

  settle(id, status, text) {
    const line = this.lines.get(id);
    if (!line) return;
    line.className = `call ${status}`;
    line.querySelector(".took").textContent = text;
  }

  note(kind, text, name) {
    const line = document.createElement("li");
    line.className = `call note ${kind}`;
    const about = element("span", "about", "");
    if (name) about.append(element("b", "", name), " ");
    about.append(text);
    line.append(icon(kind), about);
    this.calls.append(line);
  }

  /** Others work on a part of it: it goes on by itself when they are done. */
  handedOn(awaits) {
    // a team's members are named above
    const others = awaits.filter(({ kind }) => kind === "delegated_run").map(({ tool_call_id: id, reference }) => this.linked(id, reference));
    const status = this.article.querySelector("[data-status]");
    status.className = "status waiting";
    status.replaceChildren(icon("waiting"), element("span", "", words.waiting));
    const banner = this.article.querySelector("[data-awaiting]");
    banner.hidden = false;
    banner.querySelector("[data-others]").replaceChildren(...others.flatMap((link) => [link, " "]));
  }

  linked(id, run) {
    const about = this.lines.get(id)?.querySelector(".about");
    const link = traceOf(run, about?.textContent ?? run);
    about?.replaceChildren(link.cloneNode(true));
    return link;
  }

  /** A person has to decide: the server's drawing of the turn asks them. */
  wait() {
    this.source.close();
    this.end();
  }

  async end() {
    document.body.removeEventListener("inbox-changed", this.onInbox);
    document.querySelector(".sessions [aria-current] .icon")?.remove();
    await htmx.ajax("GET", this.article.dataset.turn, { target: this.article, swap: "outerHTML" });
    announcer.textContent = words.done;
  }

  lost() {
    const line = element("p", "notice bad", words.lost);
    line.setAttribute("role", "alert");
    this.article.querySelector(".turn-foot").before(line);
  }
}

/** Keep the newest words in sight for somebody who was looking at them. */
function stayAtEnd(change) {
  const page = document.scrollingElement;
  const wasAtEnd = page.scrollHeight - page.scrollTop - page.clientHeight < 120;
  change();
  if (wasAtEnd) page.scrollTop = page.scrollHeight;
}

const followed = new WeakSet();

function settle() {
  const live = [...turns.querySelectorAll("[data-live]")];
  if (turns.querySelector(".turn")) turns.querySelector(".welcome")?.remove();
  for (const article of live) {
    if (followed.has(article)) continue;
    followed.add(article);
    new LiveTurn(article);
  }
  update();
}

/** What the composer does now: it takes a task, speaks to the agent at work, or waits for one to begin. */
function update({ isSending = false } = {}) {
  const isBusy = turns.querySelector("[data-live]") !== null;
  const heard = whoHears();
  for (const button of document.querySelectorAll("button[data-send]")) button.disabled = isBusy || isSending;
  if (!composer) return;
  send.disabled = isSending || (isBusy ? !heard : attachments.isSending);
  send.setAttribute("aria-label", heard ? words.tell : words.send);
  hint.textContent = heard ? words.heard : isBusy ? words.busy : words.note;
  if (composer.hasAttribute("hx-post")) task.placeholder = heard ? words.tellWhat : words.askOn;
}

function whoHears() {
  return turns.querySelector("[data-live][data-heard]");
}

function sendByEnter(event) {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  if (task.value.trim() && !send.disabled) composer.requestSubmit();
}

// htmx sends the composer inside a conversation; a new one is an ordinary form.
composer?.addEventListener("htmx:configRequest", (event) => {
  const heard = whoHears();
  if (heard) event.detail.path = heard.dataset.inject;
});
composer?.addEventListener("htmx:beforeRequest", () => update({ isSending: true }));
composer?.addEventListener("htmx:afterRequest", ({ detail }) => {
  const wasTold = detail.requestConfig.path.endsWith("/inject");
  if (detail.successful) task.value = "";
  if (detail.successful && wasTold) announcer.textContent = words.told;
  if (detail.successful && !wasTold) attachments.clear();
  update();
  task.focus();
});
task?.addEventListener("keydown", sendByEnter);
document.addEventListener("htmx:afterSettle", () => {
  settle();
  if (turns.lastElementChild?.matches("[data-live]")) document.scrollingElement.scrollTop = document.scrollingElement.scrollHeight;
});
settle();
if (turns.querySelector(".turn")) document.scrollingElement.scrollTop = document.scrollingElement.scrollHeight;
