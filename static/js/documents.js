// Documents are sent one by one as soon as they are dropped or chosen; while some are read, the list is asked for again.

const form = document.getElementById("send-documents");
const MOST_AT_ONCE = 3;

function list() {
  return document.getElementById("documents");
}

function refresh() {
  if (list()) htmx.trigger(list(), "documents-changed");
}

function draw(file) {
  const line = document.createElement("li");
  line.className = "file";
  const name = document.createElement("span");
  name.textContent = file.name;
  line.append(name, document.createElement("small"));
  form.querySelector("[data-files]").append(line);
  return line;
}

function tell(line, text, isBad = false) {
  line.classList.toggle("failed", isBad);
  const small = line.querySelector("small");
  if (isBad) small.setAttribute("role", "alert");
  small.textContent = text;
}

function problemOf(file) {
  if (file.size > Number(form.dataset.mostBytes)) return form.dataset.tooLarge;
  return file.size === 0 ? form.dataset.empty : "";
}

async function send(file, line) {
  const body = new FormData();
  const project = form.querySelector("[name=project]")?.value;
  body.append("file", file);
  if (project) body.append("owner", "project");
  const headers = { "X-CSRFToken": form.querySelector("[name=csrfmiddlewaretoken]").value };
  if (project) headers["X-Project-Id"] = project;
  tell(line, form.dataset.uploading);
  const answer = await fetch("/api/documents", { method: "POST", headers, body }).catch(() => null);
  const told = (await answer?.json().catch(() => null)) ?? {};
  if (!answer?.ok) return tell(line, told.error?.message ?? form.dataset.unsent, true);
  tell(line, told.outcome === "unchanged" ? form.dataset.unchanged : form.dataset.sent);
  if (told.outcome !== "unchanged") setTimeout(() => line.remove(), 4000);
  refresh();
}

/** A few at a time: a folder of hundreds must not open hundreds of connections. */
async function sendAll(files) {
  const waiting = [...files].map((file) => [file, draw(file)]);
  const work = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const [file, line] = next;
      const problem = problemOf(file);
      if (problem) tell(line, problem, true);
      else await send(file, line);
    }
  };
  await Promise.all(Array.from({ length: MOST_AT_ONCE }, work));
}

function takeDropped(event) {
  form.classList.remove("is-over");
  if (!event.dataTransfer?.files.length) return;
  event.preventDefault();
  sendAll(event.dataTransfer.files);
}

if (form) {
  form.classList.add("sends-itself");
  const field = form.querySelector("input[type=file]");
  field.addEventListener("change", () => {
    sendAll(field.files);
    field.value = ""; // they are on their way; the form must not send them again
  });
  document.addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    form.classList.add("is-over");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) form.classList.remove("is-over");
  });
  document.addEventListener("drop", takeDropped);
}

setInterval(() => {
  if (list()?.hasAttribute("data-unfinished") && !document.hidden) refresh();
}, 1000);
