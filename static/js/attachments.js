// Files for the next task: each is sent as soon as it is chosen, dropped or pasted; the task names what was kept.

export class Attachments {
  /** `form` holds a list `[data-files]` and a file field; `onChange` is called whenever sending begins or ends. */
  constructor(form, words, { onChange }) {
    this.form = form;
    this.words = words;
    this.onChange = onChange;
    this.list = form.querySelector("[data-files]");
    this.field = form.querySelector("input[type=file]");
    this.field.addEventListener("change", () => this.add(this.field.files));
    form.addEventListener("paste", (event) => this.take(event, event.clipboardData));
    form.addEventListener("dragover", (event) => event.dataTransfer.types.includes("Files") && event.preventDefault());
    form.addEventListener("drop", (event) => this.take(event, event.dataTransfer));
  }

  get isSending() {
    return this.list.querySelector(".sending") !== null;
  }

  take(event, source) {
    if (!source?.files.length) return;
    event.preventDefault();
    this.add(source.files);
  }

  async add(files) {
    const chosen = [...files];
    this.field.value = ""; // what is in the list was sent already; the form must not send it again
    await Promise.all(chosen.map((file) => this.send(file)));
  }

  async send(file) {
    const count = this.list.querySelectorAll(".file:not(.failed)").length;
    const line = this.draw(file);
    if (count >= Number(this.field.dataset.most)) return this.fail(line, this.words.tooMany);
    if (file.size > Number(this.field.dataset.mostBytes)) return this.fail(line, this.words.tooLarge);
    if (file.size === 0) return this.fail(line, this.words.empty);
    line.classList.add("sending");
    this.onChange();
    try {
      this.keep(line, await this.upload(file));
    } catch (error) {
      this.fail(line, error.message || this.words.unsent);
    }
    line.classList.remove("sending");
    this.onChange();
  }

  async upload(file) {
    const name = new TextDecoder().decode(new TextEncoder().encode(file.name)); // without halves of characters
    const headers = { "X-Filename": encodeURIComponent(name), "Content-Type": "application/octet-stream", ...this.token() };
    const answer = await fetch("/api/uploads", { method: "POST", headers, body: file }).catch(() => null);
    if (answer === null) throw new Error(this.words.unsent);
    const told = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(told.error?.message ?? this.words.unsent);
    return told.upload_id;
  }

  token() {
    return { "X-CSRFToken": this.form.querySelector("[name=csrfmiddlewaretoken]").value };
  }

  draw(file) {
    const line = document.createElement("li");
    line.className = "file";
    const name = document.createElement("span");
    name.textContent = file.name;
    const state = document.createElement("small");
    state.textContent = this.words.uploading;
    const remove = document.createElement("button");
    remove.type = "button";
    remove.textContent = "×";
    remove.setAttribute("aria-label", `${this.words.remove} ${file.name}`);
    remove.addEventListener("click", () => this.remove(line));
    line.append(name, state, remove);
    line.dataset.size = size(file.size);
    this.list.append(line);
    return line;
  }

  keep(line, id) {
    if (!line.isConnected) return this.forget(id); // it was removed while it was being sent
    const field = document.createElement("input");
    field.type = "hidden";
    field.name = "attachments";
    field.value = id;
    line.querySelector("small").textContent = line.dataset.size;
    line.append(field);
  }

  fail(line, reason) {
    line.classList.add("failed");
    const state = line.querySelector("small");
    state.setAttribute("role", "alert");
    state.textContent = reason;
  }

  remove(line) {
    const id = line.querySelector("[name=attachments]")?.value;
    line.remove();
    if (id) this.forget(id);
    this.onChange();
    this.field.focus();
  }

  forget(id) {
    fetch(`/api/uploads/${id}`, { method: "DELETE", headers: this.token() });
  }

  clear() {
    this.list.replaceChildren();
  }
}

function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  return bytes < 1024 * 1024 ? `${Math.round(bytes / 1024)} KiB` : `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}
