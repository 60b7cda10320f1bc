// SPDX-License-Identifier: MIT OR GPL-2.0-only
// What is known of the selected thing, in the panel beside the charts.

const MOST_LINES = 8;

// Callers and callees of each function, most time first: that is how the edges come.
const callersOf = new Map();
const calleesOf = new Map();
D.edges.caller.forEach((caller, at) => {
  const callee = D.edges.callee[at];
  const add = (map, key) => (map.get(key) ?? map.set(key, []).get(key)).push(at);
  add(callersOf, callee);
  if (caller >= 0) add(calleesOf, caller);
});

/** A name that leads to its function. */
function link(f) {
  if (f < 0) return el("span", {}, "no traced function");
  return el("button", { type: "button", class: "link", onclick: () => select({ kind: "function", id: f }) }, name(f));
}

function pairs(...lines) {
  return el("dl", {}, ...lines.filter(Boolean).map(([key, ...value]) => el("div", {}, el("dt", {}, key), el("dd", {}, ...value))));
}

/** Who calls it, or whom it calls. */
function others(title, edges, other, f) {
  if (!edges || !edges.length) return null;
  const all = edges.filter((at) => D.edges[other][at] !== f);
  if (!all.length) return null;
  const lines = all.slice(0, MOST_LINES).map((at) => el("tr", {},
    el("td", {}, link(D.edges[other][at])),
    el("td", { class: "number" }, time(D.edges.total[at])),
    el("td", { class: "number" }, count(D.edges.calls[at]))));
  const more = all.length - lines.length;
  return el("div", { class: "others" }, el("h4", {}, title),
    el("table", {}, el("thead", {}, el("tr", {}, el("th", {}, "function"), el("th", { class: "number" }, "total"), el("th", { class: "number" }, "calls"))),
      el("tbody", {}, ...lines)), more > 0 ? el("p", { class: "dim" }, `and ${count(more)} more`) : null);
}

/** All calls of a function. */
function ofFunction(f) {
  if (f < 0 || F.calls[f] === undefined) return [];
  return [
    el("h4", {}, "All its calls"),
    pairs(["source", file(f) || "not known"], ["calls", count(F.calls[f])], ["total", time(F.total[f])],
      ["self", `${time(F.own[f])} (${percent(F.own[f], D.busy)} % of all work)`], ["mean", time(F.mean[f])],
      ["longest", F.max[f] === null ? "none returned" : time(F.max[f])]),
    others("Called by", callersOf.get(f), "caller", f),
    others("Calls", calleesOf.get(f), "callee", f),
  ];
}

const describe = {
  span({ id }) {
    const f = spans.fn[id];
    const wall = spans.end[id] - spans.start[id];
    const callers = [];
    for (let up = spans.parent[id]; up >= 0 && callers.length < 40; up = spans.parent[up]) callers.unshift(up);
    return [name(f), "a call", [
      pairs(["began", time(spans.start[id])], ["from begin to end", time(wall)], ["on CPU", time(spans.total[id])],
        ["self", time(spans.own[id])], wall - spans.total[id] > 0 && ["waited", time(wall - spans.total[id])],
        spans.rest[id] > 0 && ["in short calls", `${time(spans.rest[id])}, not drawn one by one`],
        ["task", taskLabel(spans.task[id])]),
      callers.length ? el("p", { class: "path" }, "below ", ...callers.flatMap((up, at) => [at ? " › " : "",
        el("button", { type: "button", class: "link", onclick: () => select({ kind: "span", id: up }) }, name(spans.fn[up]))])) : null,
      ...ofFunction(f)]];
  },
  way({ id }) {
    const node = treeOwner.root.nodes[id];
    if (!node) return null;
    if (node.f === -2) return [node.title, "", [pairs(["in traced calls", time(node.total)])]];
    return [name(node.f), "calls on one way", [
      pairs(["on this way", `${time(node.total)} (${percent(node.total, treeOwner.root.total)} %)`], ["self", time(node.own)],
        ["calls", count(node.calls)], node.calls > 0 && ["mean", time(node.total / node.calls)], node.longest > 0 && ["longest", time(node.longest)],
        node.dropped > 0 && ["left out", `${count(node.dropped)} more functions, ${time(node.rest)}`]),
      ...ofFunction(node.f)]];
  },
  rest({ id }) {
    const node = treeOwner.root.nodes[id];
    return [`${count(node.dropped)} more functions`, `called by ${node.f === -2 ? node.title : name(node.f)}`,
      [pairs(["together", time(node.rest)], ["each less than", time(W.least)])]];
  },
  function({ id }) {
    const longest = spanOf(id, 0, Infinity);
    return [name(id), "a function", [
      longest >= 0 ? el("p", {}, el("button", { type: "button", onclick: () => showCall(longest) }, "show its longest call in time")) : null,
      ...ofFunction(id)]];
  },
  initcall({ id }) {
    const call = D.initcalls[id];
    return [call.name, call.kind === "module" ? "module init" : call.kind === "built-in" ? "initcall" : `${call.kind} work`, [
      call.why ? el("p", { class: "why" }, `${call.why[0].toUpperCase()}${call.why.slice(1)}.`) : null,
      pairs(call.level && ["level", call.level], call.module && ["module", call.module], ["began", time(call.start)],
        ["from begin to end", time(call.wall)], ["on CPU", time(call.on_cpu)],
        call.wall > call.on_cpu && ["waited", time(call.wall - call.on_cpu)], call.calls > 0 && ["calls in it", count(call.calls)],
        ["task", call.task], call.cpu !== null && ["began on", `CPU ${call.cpu}`], ["ended", call.ended]),
      el("p", {}, el("button", { type: "button", onclick: () => go({ kind: "initcall", id }) }, "zoom to it")),
      ...ofFunction(call.function)]];
  },
  level({ id }) {
    const level = D.levels[id];
    const top = level.functions.map(([text, own, calls]) => el("tr", {}, el("td", {}, text),
      el("td", { class: "number" }, time(own)), el("td", { class: "number" }, count(calls))));
    const slow = D.initcalls.map((call, index) => [call, index]).filter(([call]) => call.level === level.name)
      .sort((a, b) => b[0].wall - a[0].wall).slice(0, MOST_LINES);
    return [level.name, level.initcall ? "level" : "stage", [
      el("p", { class: "dim" }, level.what),
      level.why ? el("p", { class: "why" }, `${level.why}.`) : null,
      pairs(["began", time(level.began)], ["time", `${time(level.time)} (${percent(level.time, D.span)} %)`], ["CPUs worked", time(level.busy)],
        ["events", count(level.events)], level.initcalls > 0 && ["initcalls", count(level.initcalls)]),
      el("p", {}, el("button", { type: "button", onclick: () => go({ kind: "level", id }) }, "zoom to it"), " ",
        el("button", { type: "button", onclick: () => chooseTree(`level:${id}`) }, "its call tree")),
      slow.length ? el("div", { class: "others" }, el("h4", {}, "Slowest initcalls"), el("table", {}, el("tbody", {}, ...slow.map(([call, index]) =>
        el("tr", {}, el("td", {}, el("button", { type: "button", class: "link", onclick: () => select({ kind: "initcall", id: index }) }, call.name)),
          el("td", { class: "number" }, time(call.wall))))))) : null,
      top.length ? el("div", { class: "others" }, el("h4", {}, "Functions by self time"), el("table", {},
        el("thead", {}, el("tr", {}, el("th", {}, "function"), el("th", { class: "number" }, "self"), el("th", { class: "number" }, "calls"))),
        el("tbody", {}, ...top))) : null]];
  },
  stretch({ cpu, index }) {
    const { task, from, to, idle } = onCpu.get(cpu)[index];
    return [idle ? "idle" : taskLabel(task), `on CPU ${cpu}`, [
      pairs(["from", time(from)], ["to", time(to)], ["time", time(to - from)]),
      idle ? null : el("p", {}, el("button", { type: "button", onclick: () => chooseSource(`task:${task}`) }, "all calls of this task"))]];
  },
  task({ id }) {
    const task = D.task_rows[id];
    const number = D.tasks.findIndex((other) => other.name === task.name.replace(/ \(booting\)$/, "") && other.pid === task.pid);
    return [task.name, `task ${task.pid}`, [
      pairs(["on CPU", time(task.on_cpu)], ["calls", count(task.calls)], ["came onto a CPU", `${count(task.switches)} times`],
        ["first seen", time(task.first)], ["ended", task.ended ? "yes" : "no"]),
      number >= 0 ? el("p", {}, el("button", { type: "button", onclick: () => chooseSource(`task:${number}`) }, "its calls in time"), " ",
        el("button", { type: "button", onclick: () => chooseTree(`task:${number}`) }, "its call tree")) : null]];
  },
  missing({ text, when, cpu }) {
    return ["Missing", `on CPU ${cpu}`, [pairs(["at", time(when)], ["what", text])]];
  },
};

function showDetails() {
  const panel = $("details");
  const found = selected && describe[selected.kind] && describe[selected.kind](selected);
  panel.hidden = !found;
  document.body.classList.toggle("with-details", Boolean(found));
  if (!found) return;
  const [title, kind, parts] = found;
  panel.replaceChildren(
    el("div", { class: "top" }, el("div", {}, el("h3", {}, title), el("p", { class: "dim" }, kind)),
      el("button", { type: "button", class: "close", "aria-label": "Close the details", onclick: () => select(null) }, "×")),
    ...parts.filter(Boolean));
  panel.scrollTop = 0;
}
selection.changed.push(showDetails);
