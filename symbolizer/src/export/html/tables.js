// SPDX-License-Identifier: MIT OR GPL-2.0-only
// Tables: one at a time, sorted by any column, with what is searched.

const STEP = 100;
const range = (n) => [...Array(n).keys()];
const nothing = () => "";

/** A column: title, how to sort, what to show; numbers stand to the right and begin with the largest. */
const number = (title, value, show, hint) => ({ title, value, show: (row) => show(value(row), row), right: true, hint });
const text = (title, value, hint) => ({ title, value, show: value, right: false, hint });

const TABLES = [
  {
    id: "levels", title: "Levels", sort: 1, down: false,
    how: "The steps of the boot in their order. Busy: how long CPUs worked in it. What it went into says why.",
    rows: range(D.levels.length).filter((i) => D.levels[i].name !== "firmware"), thing: (i) => ({ kind: "level", id: i }), text: (i) => D.levels[i].name,
    columns: [
      text("level", (i) => D.levels[i].name),
      number("began", (i) => D.levels[i].began, time),
      number("time", (i) => D.levels[i].time, time),
      number("%", (i) => D.levels[i].time, (v) => percent(v, D.span), "of the whole trace"),
      number("busy", (i) => D.levels[i].busy, time, "time that CPUs worked, without idle; on several CPUs it may be more than the time"),
      number("events", (i) => D.levels[i].events, count),
      number("initcalls", (i) => D.levels[i].initcalls, (v) => (v ? count(v) : "")),
      text("what it went into", (i) => D.levels[i].why),
    ],
  },
  {
    id: "initcalls", title: "Initcalls", sort: 1, down: true,
    how: "From begin to end is what an initcall delays the boot by; on CPU is what it worked. The rest it waited.",
    rows: range(D.initcalls.length), thing: (i) => ({ kind: "initcall", id: i }), text: (i) => `${D.initcalls[i].name} ${D.initcalls[i].module ?? ""} ${D.initcalls[i].level ?? ""}`,
    columns: [
      text("initcall", (i) => D.initcalls[i].name),
      number("time", (i) => D.initcalls[i].wall, time, "from begin to end"),
      number("on CPU", (i) => D.initcalls[i].on_cpu, time),
      number("waited", (i) => D.initcalls[i].wall - D.initcalls[i].on_cpu, time),
      number("began", (i) => D.initcalls[i].start, time),
      number("calls", (i) => D.initcalls[i].calls, (v) => (v ? count(v) : "")),
      text("level", (i) => D.initcalls[i].level ?? ""),
      text("module", (i) => D.initcalls[i].module ?? ""),
      text("kind", (i) => D.initcalls[i].kind),
      text("why", (i) => D.initcalls[i].why),
    ],
  },
  {
    id: "functions", title: "Functions", sort: 1, down: true,
    how: "Self time is a function's own; total is with all that it called. Sort by self to see where the time is spent, by total to see through whom, by calls to see what is called most.",
    rows: range(F.calls.length), thing: (f) => ({ kind: "function", id: f }), text: (f) => F.name[f],
    columns: [
      text("function", (f) => F.name[f]),
      number("self", (f) => F.own[f], time, "on-CPU time without what it called; without idle"),
      number("%", (f) => F.own[f], (v) => percent(v, D.busy), "self time, of all that CPUs worked"),
      number("total", (f) => F.total[f], time, "on-CPU time with what it called; without idle"),
      number("calls", (f) => F.calls[f], count),
      number("mean", (f) => F.mean[f], time, "of total, for each call"),
      number("longest", (f) => F.max[f] ?? -1, (v) => (v < 0 ? "-" : time(v)), "the longest call that returned"),
      text("source", file),
    ],
  },
  {
    id: "tasks", title: "Tasks", sort: 1, down: true,
    how: "Who was on the CPUs, and for how long. Booting: what runs on a CPU before it has an idle task.",
    rows: range(D.task_rows.length), thing: (i) => ({ kind: "task", id: i }), text: (i) => `${D.task_rows[i].name}-${D.task_rows[i].pid}`,
    columns: [
      text("task", (i) => D.task_rows[i].name + (D.task_rows[i].idle ? " (idle)" : "")),
      number("on CPU", (i) => D.task_rows[i].on_cpu, time),
      number("%", (i) => D.task_rows[i].on_cpu, (v) => percent(v, D.span), "of the whole trace"),
      number("calls", (i) => D.task_rows[i].calls, count),
      number("switched in", (i) => D.task_rows[i].switches, count, "how often it came onto a CPU"),
      number("first seen", (i) => D.task_rows[i].first, time),
      { ...number("pid", (i) => D.task_rows[i].pid, String) },
      text("ended", (i) => (D.task_rows[i].ended ? "yes" : "")),
    ],
  },
  {
    id: "modules", title: "Modules", sort: 1, down: true,
    how: "Initcalls by the module that they belong to; built-in code by what would be its module.",
    rows: range(D.modules.length), thing: () => null, text: (i) => D.modules[i][0],
    columns: [
      text("module", (i) => D.modules[i][0]),
      number("time", (i) => D.modules[i][3], time, "of its initcalls, from begin to end"),
      number("on CPU", (i) => D.modules[i][4], time),
      number("initcalls", (i) => D.modules[i][2], count),
      number("calls", (i) => D.modules[i][5], count),
      text("kind", (i) => (D.modules[i][1] ? "loaded" : "built in")),
    ],
  },
  {
    id: "subsystems", title: "Subsystems", sort: 1, down: true,
    how: "Self time of all functions in a directory of the kernel's source. These can be added up.",
    rows: range(D.subsystems.length), thing: () => null, text: (i) => D.subsystems[i][0],
    columns: [
      text("directory", (i) => D.subsystems[i][0]),
      number("self", (i) => D.subsystems[i][1], time),
      number("%", (i) => D.subsystems[i][1], (v) => percent(v, D.busy), "of all that CPUs worked"),
      number("calls", (i) => D.subsystems[i][2], count),
    ],
  },
];

let shown = TABLES[0];
let most = STEP;

function sortedRows(table) {
  const rows = search.text ? table.rows.filter((row) => matches(table.text(row))) : [...table.rows];
  const { value, right } = table.columns[table.sort];
  const sign = table.down ? -1 : 1;
  return rows.sort((a, b) => sign * (right ? value(a) - value(b) : value(a).localeCompare(value(b))) || a - b);
}

function drawTabs() {
  $("tabs").replaceChildren(...TABLES.filter((table) => table.rows.length).map((table) => {
    const hits = search.text ? table.rows.reduce((sum, row) => sum + matches(table.text(row)), 0) : table.rows.length;
    return el("button", {
      type: "button", role: "tab", id: `tab-${table.id}`, "aria-selected": String(table === shown), "aria-controls": "table",
      tabindex: table === shown ? "0" : "-1", onclick: () => showTable(table),
      onkeydown: (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!step) return;
        const all = TABLES.filter((table) => table.rows.length);
        const next = all[(all.indexOf(shown) + step + all.length) % all.length];
        showTable(next);
        $(`tab-${next.id}`).focus();
      },
    }, `${table.title} `, el("span", { class: "dim" }, count(hits)));
  }));
}

function showTable(table) {
  if (table !== shown) most = STEP;
  shown = table;
  drawTabs();
  drawTable();
}

function drawTable() {
  const table = shown;
  const rows = sortedRows(table);
  const bar = table.columns.findIndex((column) => column.right && ["time", "self", "on CPU"].includes(column.title));
  const largest = Math.max(1, ...table.rows.slice(0, 1000).map((row) => table.columns[bar].value(row)));
  const head = table.columns.map((column, index) => el("th", {
    scope: "col", class: column.right ? "number" : "", title: column.hint,
    "aria-sort": index === table.sort ? (table.down ? "descending" : "ascending") : "none",
  }, el("button", {
    type: "button", onclick: () => {
      [table.down, table.sort] = [index === table.sort ? !table.down : column.right, index];
      drawTable();
      $("table").querySelectorAll("th button")[index].focus();
    },
  }, column.title, el("span", { "aria-hidden": "true", class: "arrow" }, index === table.sort ? (table.down ? "▼" : "▲") : ""))));
  const cell = (row, column, index) => {
    const value = String(column.show(row) ?? "");
    if (index === 0 && table.thing(row)) {
      return el("th", { scope: "row" }, el("button", { type: "button", class: "link", onclick: () => go(table.thing(row)) }, value));
    }
    const share = index === bar ? column.value(row) / largest : 0;
    return el(index === 0 ? "th" : "td", { class: column.right ? "number" : index === table.columns.length - 1 ? "last" : "",
      style: share > 0.002 ? `--share:${(share * 100).toFixed(1)}%` : null }, value);
  };
  const lines = rows.slice(0, most).map((row) => el("tr", { class: table.id === "levels" && row === D.dearest ? "dearest" : "" },
    ...table.columns.map((column, index) => cell(row, column, index))));
  $("table-how").textContent = table.how;
  const more = rows.length - lines.length;
  const all = { functions: D.functions_all, initcalls: D.initcalls_all }[table.id] ?? 0;
  $("table").setAttribute("aria-labelledby", `tab-${table.id}`);
  $("table").replaceChildren(
    el("table", { "data-rows": rows.length }, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...lines)),
    rows.length ? "" : el("p", { class: "dim" }, "nothing here matches the search"),
    more > 0 ? el("p", { class: "show-more" }, el("button", { type: "button", onclick: () => { most += 4 * STEP; drawTable(); } },
      `show ${count(Math.min(more, 4 * STEP))} of ${count(more)} more`)) : "",
    all > table.rows.length ? el("p", { class: "dim" }, `${count(all - table.rows.length)} more, each smaller than these, found no room on this page`) : "");
}
