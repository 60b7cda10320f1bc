// SPDX-License-Identifier: MIT OR GPL-2.0-only
// Puts the parts together: choices above the charts, search, theme, keys.

readColours();
treeOwner.choose("all");
const timeline = new Chart($("timeline"), timelineOwner);
const tree = new Chart($("tree"), treeOwner);
const redrawAll = () => {
  timeline.redraw();
  tree.redraw();
};
selection.changed.push(redrawAll);

function option(value, text) { return el("option", { value }, text); }

/** Tasks by their time on CPUs, as far as it was kept. */
const busiest = D.tasks.map((_, task) => [task, onTask[task].reduce((sum, s) => sum + (s.idle ? 0 : s.to - s.from), 0)])
  .filter(([task]) => rows[task].length).sort((a, b) => b[1] - a[1]).slice(0, 500);

$("source").append(
  el("optgroup", { label: "what ran on" }, ...cpus.map((cpu) => option(`cpu:${cpu}`, `CPU ${cpu}`))),
  el("optgroup", { label: "one task, with its waiting" }, ...busiest.map(([task, on]) => option(`task:${task}`, `${taskLabel(task)}  (${time(on)})`))));
$("goto").append(option("", "whole boot"),
  el("optgroup", { label: "level" }, ...levels.map((level) => option(`level:${level.index}`, `${level.name}  (${time(level.time)})`))),
  el("optgroup", { label: "slowest initcalls" }, ...D.initcalls.map((call, index) => [call, index]).sort((a, b) => b[0].wall - a[0].wall).slice(0, 25)
    .map(([call, index]) => option(`initcall:${index}`, `${call.name}  (${time(call.wall)})`))));
$("tree-of").append(option("all", "whole boot"),
  el("optgroup", { label: "level" }, ...levels.map((level) => option(`level:${level.index}`, level.name))),
  el("optgroup", { label: "task" }, ...busiest.slice(0, 200).map(([task]) => option(`task:${task}`, taskLabel(task)))),
  option("idle:", "interrupts while idle"));

function chooseSource(choice) {
  const [kind, number] = choice.split(":");
  timelineOwner.source = { [kind]: +number };
  $("source").value = choice;
  timeline.scroll = 0;
  timeline.redraw();
  $("timeline").scrollIntoView({ block: "nearest" });
}
function chooseTree(choice) {
  treeOwner.choose(choice);
  $("tree-of").value = choice;
  if (selected && (selected.kind === "way" || selected.kind === "rest")) select(null);
  tree.reset();
  $("tree-section").scrollIntoView({ block: "nearest" });
}
$("source").addEventListener("change", () => chooseSource($("source").value));
$("tree-of").addEventListener("change", () => chooseTree($("tree-of").value));
$("goto").addEventListener("change", () => {
  const [kind, id] = $("goto").value.split(":");
  if (!kind) timeline.reset();
  else go({ kind, id: +id });
});

/** Selects something, and shows it in time if it has a place there. */
function go(thing) {
  select(thing);
  if (timelineOwner.extent({ ...thing }) && thing.kind !== "function") timelineOwner.zoomTo(timeline, thing);
}

/** Shows a call in time, in its task. */
function showCall(i) {
  chooseSource(`task:${spans.task[i]}`);
  select({ kind: "span", id: i });
  timelineOwner.zoomTo(timeline, { kind: "span", id: i });
  timeline.scroll = Math.max(0, spans.depth[i] * ROW - 120);
}

for (const [button, act] of [
  ["zoom-in", () => timeline.zoom(0.6)], ["zoom-out", () => timeline.zoom(1 / 0.6)], ["zoom-reset", () => timeline.reset()],
  ["tree-in", () => tree.zoom(0.6)], ["tree-out", () => tree.zoom(1 / 0.6)], ["tree-reset", () => tree.reset()],
]) $(button).addEventListener("click", act);

// What is left out is said where it is missing.
$("detail-note").textContent = S.left_out > 0
  ? `Calls shorter than ${time(S.least)} are not drawn one by one: thin lines stand for them together.` : "All calls are drawn.";

function drawLegend() {
  const own = KINDS.map(() => 0);
  for (let f = 0; f < F.own.length; f++) own[kindOf(f)] += F.own[f];
  const whole = own.reduce((sum, part) => sum + part, 0);
  const items = KINDS.map(([kind], index) => [kind, index]).filter(([, index]) => own[index] > 0).sort((a, b) => own[b[1]] - own[a[1]]);
  const swatch = (kind, style) => el("span", { class: `swatch ${kind}`, style });
  $("legend").replaceChildren(
    ...items.map(([kind, index]) => el("li", {}, swatch("", `background:${fills[index][1]}`), `${kind} ${percent(own[index], whole)} %`)),
    el("li", {}, swatch("hatched"), "short calls together"), el("li", {}, swatch("idle"), "idle"));
}

// Search.
search.changed.push(() => {
  most = STEP;
  drawTabs();
  drawTable();
  redrawAll();
  const calls = D.initcalls.filter((call) => matches(call.name)).length;
  $("matches").textContent = search.text
    ? `${count(search.found)} ${search.found === 1 ? "function" : "functions"}, ${count(calls)} ${calls === 1 ? "initcall" : "initcalls"}` : "";
});
let pending = 0;
$("search").addEventListener("input", () => {
  clearTimeout(pending);
  pending = setTimeout(() => {
    // Whoever searches is shown the table that has it.
    setSearch($("search").value);
    const has = (table) => table.rows.some((row) => matches(table.text(row)));
    if (search.text && !has(shown)) {
      const found = TABLES.find((table) => table.id === "functions" && has(table)) ?? TABLES.find(has);
      if (found) showTable(found);
    }
  }, 120);
});

// Light and dark: as the system says, until someone chooses.
const remembered = () => { try { return localStorage.getItem("early-ftrace-theme"); } catch { return null; } };
function theme(choice) {
  document.documentElement.dataset.theme = choice;
  readColours();
  drawLegend();
  redrawAll();
}
const system = window.matchMedia("(prefers-color-scheme: dark)");
const now = () => document.documentElement.dataset.theme;
theme(remembered() ?? (system.matches ? "dark" : "light"));
system.addEventListener("change", () => { if (!remembered()) theme(system.matches ? "dark" : "light"); });
function switchTheme() {
  const next = now() === "dark" ? "light" : "dark";
  try { localStorage.setItem("early-ftrace-theme", next); } catch { /* a page from a file may not remember */ }
  theme(next);
}
$("theme").addEventListener("click", switchTheme);
// Paper is white.
let before = "";
window.addEventListener("beforeprint", () => {
  before = now();
  document.documentElement.dataset.theme = "light";
  readColours();
  timeline.paint();
  tree.paint();
});
window.addEventListener("afterprint", () => theme(before));

$("help-open").addEventListener("click", () => $("help").showModal());
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.target === $("search") && event.key === "Escape") {
    $("search").value = "";
    setSearch("");
    $("search").blur();
  } else if (typing) return;
  else if (event.key === "/") $("search").focus();
  else if (event.key === "?") $("help").showModal();
  else if (event.key === "t") switchTheme();
  else if (event.key === "Escape" && selected) select(null);
  else return;
  event.preventDefault();
});

showTable(TABLES.find((table) => table.rows.length) ?? TABLES[0]);
document.documentElement.dataset.ready = "yes";
