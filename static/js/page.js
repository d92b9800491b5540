// What every page needs: times in the reader's zone, clocks that run, menus that close, arrow keys in lists.

const language = document.documentElement.lang || "en";
const styles = {
  time: new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }),
  date: new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" }),
};
const ago = new Intl.RelativeTimeFormat(language, { numeric: "auto", style: "short" });
const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

function sinceThen(date) {
  const seconds = Math.max(0, (Date.now() - date) / 1000);
  if (seconds > 7 * 86400) return styles.date.format(date);
  const [unit, size] = units.find(([, size]) => seconds >= size) ?? units.at(-1);
  return ago.format(-Math.floor(seconds / size), unit);
}

function isToday(date) {
  return date.toDateString() === new Date().toDateString();
}

function writeMoments(root) {
  for (const time of root.querySelectorAll("time[data-moment]")) {
    const date = new Date(time.dateTime);
    const style = time.dataset.moment;
    time.textContent = style === "ago" ? sinceThen(date) : style === "time" && isToday(date) ? styles.time.format(date) : styles.date.format(date);
    time.title = styles.date.format(date);
  }
}

function elapsed(since) {
  const seconds = Math.max(0, (Date.now() - new Date(since)) / 1000);
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  return `${Math.floor(seconds / 60)} min ${String(Math.floor(seconds % 60)).padStart(2, "0")} s`;
}

function runClocks() {
  for (const clock of document.querySelectorAll("[data-elapsed]")) clock.textContent = elapsed(clock.dataset.elapsed);
}

// Up and down walk along the lines of a waterfall or an event list.
function walk(event) {
  const list = event.target.closest?.("[data-keys]");
  const step = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1 }[event.key];
  if (!list || !step || event.target.tagName !== "SUMMARY" || event.ctrlKey || event.metaKey || event.altKey) return;
  const lines = [...list.querySelectorAll("summary")];
  lines[lines.indexOf(event.target) + step]?.focus();
  event.preventDefault();
}

function closeOpenMenus(event) {
  for (const menu of document.querySelectorAll("details.head-menu[open]")) {
    if (event.key === "Escape" || (event.type === "click" && !menu.contains(event.target))) menu.open = false;
  }
}

// The theme changes at once; the form tells the server, which remembers it in a cookie.
function chooseTheme(event) {
  const form = event.target.closest("[data-theme-form]");
  if (!form) return;
  event.preventDefault();
  const { value } = event.submitter;
  document.documentElement.toggleAttribute("data-theme", Boolean(value));
  if (value) document.documentElement.dataset.theme = value;
  for (const button of form.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button === event.submitter));
  fetch(form.action, { method: "POST", body: new FormData(form, event.submitter) });
}

// What was unfolded stays unfolded when the server's newer drawing takes its place.
let unfolded = [];
document.addEventListener("htmx:beforeSwap", () => { unfolded = [...document.querySelectorAll("details[id][open]")].map((each) => each.id); });
document.addEventListener("htmx:afterSettle", () => {
  for (const id of unfolded) document.getElementById(id)?.setAttribute("open", "");
  writeMoments(document);
  runClocks();
});

document.addEventListener("keydown", walk);
document.addEventListener("keydown", closeOpenMenus);
document.addEventListener("click", closeOpenMenus);
document.addEventListener("submit", chooseTheme);
writeMoments(document);
runClocks();
setInterval(runClocks, 200);
