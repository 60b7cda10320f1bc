// SPDX-License-Identifier: MIT OR GPL-2.0-only
// What all parts of the page share: the data, made fast to draw; numbers for people; colours; what is searched.
// All names are put into the page as text, never as HTML.

const $ = (id) => document.getElementById(id);
const D = JSON.parse($("data").textContent);
const F = D.functions;

/** An element with properties and children. */
function el(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(properties || {})) {
    if (key === "class") element.className = value;
    else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== null && value !== false) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function three(value) {
  return value < 9.995 ? value.toFixed(2) : value < 99.95 ? value.toFixed(1) : value.toFixed(0);
}

/** A duration with three digits and the unit that fits. */
function time(value) {
  const units = D.unit === "ns" ? ["ns", "µs", "ms", "s"] : ["t", "kt", "Mt", "Gt"];
  if (value < 1000) return `${Math.round(value)} ${units[0]}`;
  if (value < 999500) return `${three(value / 1e3)} ${units[1]}`;
  if (value < 999500000) return `${three(value / 1e6)} ${units[2]}`;
  return `${three(value / 1e9)} ${units[3]}`;
}

function count(value) {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ",");
}

function percent(part, whole) {
  return whole > 0 ? (part * 100 / whole).toFixed(1) : "-";
}

/** A point in time; digits enough to tell points apart that are `step` apart. */
function moment(value, step, width = step * 10) {
  if (D.unit !== "ns") return time(value);
  const [unit, size] = width >= 1e9 ? ["s", 1e9] : width >= 1e6 ? ["ms", 1e6] : width >= 1e3 ? ["µs", 1e3] : ["ns", 1];
  const digits = Math.max(0, Math.min(3, Math.ceil(-Math.log10(step / size) - 1e-9)));
  return `${(value / size).toFixed(digits).replace(/\B(?=(\d{3})+(?!\d))/g, ",")} ${unit}`;
}

const name = (f) => (f < 0 ? "other ways" : F.name[f]);
const file = (f) => (f < 0 || F.file[f] < 0 ? "" : F.files[F.file[f]] + (F.line[f] ? `:${F.line[f]}` : ""));
const taskLabel = (t) => {
  const task = D.tasks[t];
  return task.idle !== null ? task.name : `${task.name}-${task.pid}`;
};

// Colours: by the first directory of the source file, since those are what a kernel is made of.
const KINDS = [
  ["kernel", 212], ["mm", 150], ["fs", 275], ["drivers", 28], ["arch", 348], ["lib", 46], ["crypto", 322],
  ["net", 186], ["init", 232], ["security", 8], ["block", 100], ["other", null],
];
const KIND = new Map(KINDS.map(([kind], index) => [kind, index]));
const kindOfFile = F.files.map((path) => KIND.get(path.split("/")[0]) ?? KINDS.length - 1);
const kindOf = (f) => (f < 0 || F.file[f] < 0 ? KINDS.length - 1 : kindOfFile[F.file[f]]);

let C = {};
let fills = [];

/** Takes the theme's colours from the style sheet, for the canvases. */
function readColours() {
  const style = getComputedStyle(document.documentElement);
  C = {};
  for (const key of ["bg", "panel", "ink", "dim", "line", "accent", "accent-ink", "band", "idle", "warn", "quiet"]) {
    C[key] = style.getPropertyValue(`--${key}`).trim();
  }
  C.dark = style.getPropertyValue("--dark").trim() === "1";
  // Three shades of each, so that neighbours of one directory can be told apart.
  fills = KINDS.map(([, hue]) => [0, 1, 2].map((shade) => {
    const light = C.dark ? 34 + 4 * shade : 84 - 5 * shade;
    return hue === null ? `hsl(220 ${C.dark ? 8 : 10}% ${light}%)` : `hsl(${hue} ${C.dark ? 34 : 58}% ${light}%)`;
  }));
  C.text = C.dark ? "#f2f4f8" : "#14181f";
}
const fill = (f) => fills[kindOf(f)][f < 0 ? 0 : (f * 7) % 3];

/** A pale colour of its own for each of some neighbouring tasks. */
const tasksFill = (task) => `hsl(${(task * 137) % 360} ${C.dark ? 14 : 24}% ${C.dark ? 24 : 88}%)`;

/** Thin lines from corner to corner, for what is no single call. */
function hatch(ctx, colour, back) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8;
  const t = tile.getContext("2d");
  if (back) {
    t.fillStyle = back;
    t.fillRect(0, 0, 8, 8);
  }
  t.strokeStyle = colour;
  t.lineWidth = 1.2;
  t.beginPath();
  for (const at of [-8, 0, 8]) {
    t.moveTo(at, 8);
    t.lineTo(at + 8, 0);
  }
  t.stroke();
  return ctx.createPattern(tile, "repeat");
}

// Calls in time, by task and depth.
const S = D.spans;
const spans = {
  n: S.task.length, task: S.task, depth: S.depth, fn: S.function, own: S.own,
  start: new Float64Array(S.task.length), end: new Float64Array(S.task.length),
  total: new Float64Array(S.task.length), rest: new Float64Array(S.task.length),
  parent: new Int32Array(S.task.length).fill(-1),
};
const rows = D.tasks.map(() => []);
{
  let now = 0;
  let open = [];
  for (let i = 0; i < spans.n; i++) {
    now += S.start[i];
    spans.start[i] = now;
    spans.end[i] = now + S.wall[i];
    spans.total[i] = S.wall[i] - S.away[i];
    spans.rest[i] = Math.max(0, spans.total[i] - S.own[i]);
    if (i > 0 && S.task[i] !== S.task[i - 1]) open = [];
    open.length = Math.min(open.length, S.depth[i]);
    const parent = open.length === S.depth[i] && open.length > 0 ? open[open.length - 1] : -1;
    if (parent >= 0) {
      spans.parent[i] = parent;
      spans.rest[parent] = Math.max(0, spans.rest[parent] - spans.total[i]);
    }
    open[S.depth[i]] = i;
    (rows[S.task[i]][S.depth[i]] ??= []).push(i);
  }
  for (const row of rows) for (let depth = 0; depth < row.length; depth++) row[depth] ??= [];
}

// Stretches of tasks on CPUs, by CPU and by task.
const R = D.ran;
const onCpu = new Map();
const onTask = D.tasks.map(() => []);
{
  let now = 0;
  for (let i = 0; i < R.cpu.length; i++) {
    now += R.from[i];
    const stretch = { cpu: R.cpu[i], task: R.task[i], from: now, to: now + R.time[i], idle: R.idle[i] === 1 };
    if (!onCpu.has(stretch.cpu)) onCpu.set(stretch.cpu, []);
    onCpu.get(stretch.cpu).push(stretch);
    onTask[stretch.task].push(stretch);
  }
  for (const stretches of onTask) stretches.sort((a, b) => a.from - b.from);
}
const cpus = [...onCpu.keys()].sort((a, b) => a - b);

/** Index of the first of `n` things for which `after` holds; those before are all false. */
function first(n, after) {
  let [low, high] = [0, n];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (after(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

// What is searched: names that contain the words, in any case.
const search = { text: "", functions: null, found: 0, changed: [] };
function matches(text) {
  return !search.text || text.toLowerCase().includes(search.text);
}
function setSearch(text) {
  search.text = text.trim().toLowerCase();
  search.functions = search.text ? F.name.map((n) => n.toLowerCase().includes(search.text)) : null;
  search.found = search.functions ? search.functions.reduce((sum, hit) => sum + hit, 0) : 0;
  for (const changed of search.changed) changed();
}

// What is selected: {kind, ...}, shown in the details and outlined in the charts.
let selected = null;
const selection = { changed: [] };
function select(thing) {
  selected = thing;
  for (const changed of selection.changed) changed();
}
