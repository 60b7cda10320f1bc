// SPDX-License-Identifier: MIT OR GPL-2.0-only
// The merged call tree: of the whole boot, one level or one task.

const W = D.ways;

/** Puts the groups that are chosen together: nodes of equal ways become one. */
function mergedTree(chosen, title) {
  const root = { id: 0, f: -2, title, calls: 0, total: 0, own: 0, longest: 0, dropped: 0, parent: null, children: new Map(), depth: 0 };
  let ids = 1;
  let at = 0;
  for (const [level, task, idle, total, dropped, nodes] of W.groups) {
    if (!chosen(level, task, idle)) {
      at += nodes;
      continue;
    }
    root.total += total;
    root.dropped += dropped;
    const path = [root];
    for (const end = at + nodes; at < end; at++) {
      path.length = W.depth[at] + 1;
      const parent = path[path.length - 1];
      const f = W.function[at];
      let node = parent.children.get(f);
      if (!node) {
        node = { id: ids++, f, calls: 0, total: 0, own: 0, longest: 0, dropped: 0, parent, children: new Map(), depth: parent.depth + 1 };
        parent.children.set(f, node);
      }
      node.calls += W.calls[at];
      node.total += W.total[at];
      node.own += W.own[at];
      node.longest = Math.max(node.longest, W.longest[at]);
      node.dropped += W.dropped[at];
      path.push(node);
    }
  }
  // Where each node stands; what its kept callees do not have of its time is its own, or was left out.
  const todo = [[root, 0]];
  const nodes = [];
  while (todo.length) {
    const [node, start] = todo.pop();
    node.start = start;
    nodes[node.id] = node;
    node.sorted = [...node.children.values()].sort((a, b) => b.total - a.total || a.f - b.f);
    let x = start;
    for (const child of node.sorted) {
      todo.push([child, x]);
      x += child.total;
    }
    node.rest = Math.max(0, node.total - node.own - (x - start));
    node.restStart = x;
  }
  root.nodes = nodes;
  return root;
}

const treeOwner = {
  min: 0, max: 1, least: 1, gutter: false, root: null, choice: "all",

  choose(choice) {
    this.choice = choice;
    const [kind, number] = choice.split(":");
    const is = {
      all: [(level, task, idle) => !idle, "whole boot"],
      level: [(level, task, idle) => !idle && level === +number, kind === "level" ? `level ${D.levels[+number].name}` : ""],
      task: [(level, task, idle) => !idle && task === +number, kind === "task" ? `task ${taskLabel(+number)}` : ""],
      idle: [(level, task, idle) => idle, "interrupts while idle"],
    }[kind];
    this.root = mergedTree(...is);
    [this.min, this.max] = [0, Math.max(1, this.root.total)];
    this.least = Math.max(1, this.max / 1e6);
  },

  draw(chart) {
    const { ctx } = chart;
    chart.room = chart.height;
    let deepest = 0;
    let level = [this.root];
    for (let depth = 0; level.length; depth++) {
      const y = 4 + depth * ROW - chart.scroll;
      const next = [];
      let last = -1;
      for (const node of level) {
        const [x0, x1] = [chart.x(node.start), chart.x(node.start + node.total)];
        if (x1 < 0 || x0 > chart.width || (x1 - x0 < 0.6 && Math.floor(x0) === last)) continue;
        last = Math.floor(x1);
        deepest = Math.max(deepest, depth);
        if (y > -ROW && y < chart.height) {
          const hit = node.f === -2 || !search.functions || (node.f >= 0 && search.functions[node.f]);
          chart.rect(x0, x1, y, ROW, node.f === -2 ? C.band : fill(node.f), this.label(node), { kind: "way", id: node.id, choice: this.choice },
            { dim: !hit, strong: search.functions && hit && node.f !== -2 });
        }
        if (x1 - x0 > 2) {
          next.push(...node.sorted);
          const [r0, r1] = [chart.x(node.restStart), chart.x(node.restStart + node.rest)];
          if (r1 - r0 > 1.5 && y + ROW > -ROW && y + ROW < chart.height) {
            chart.rect(r0, r1, y + ROW, ROW, chart.more, node.dropped ? `${count(node.dropped)} more, ${time(node.rest)}` : "",
              { kind: "rest", id: node.id, choice: this.choice }, { ink: C.dim });
            deepest = Math.max(deepest, depth + 1);
          }
        }
      }
      level = next;
    }
    chart.depths = (deepest + 2) * ROW;
    if (!this.root.total) {
      ctx.fillStyle = C.dim;
      ctx.fillText("no calls", 8, 40);
    }
    chart.drawOutline();
    const shown = Math.min(chart.to, this.max) - chart.from;
    $("tree-range").textContent = `${time(shown)} of ${time(this.root.total)} shown`;
  },

  label(node) {
    return node.f === -2 ? `${node.title}  ${time(node.total)}` : `${name(node.f)}  ${time(node.total)}`;
  },

  tip(thing) {
    const node = this.root.nodes[thing.id];
    if (thing.kind === "rest") {
      return [`${count(node.dropped)} more functions, ${time(node.rest)}`, `each less than ${time(W.least)}: too short to be drawn one by one`];
    }
    if (node.f === -2) return [node.title, `${time(node.total)} on CPUs in traced calls`];
    return [name(node.f), `${time(node.total)} in ${count(node.calls)} calls this way`, `${time(node.own)} of it itself`,
      `${percent(node.total, this.root.total)} % of ${this.root.title}`];
  },

  zoomTo(chart, thing) {
    const node = thing.kind === "way" || thing.kind === "rest" ? this.root.nodes[thing.id] : null;
    if (!node || thing.choice !== this.choice) return;
    if (thing.kind === "rest") chart.view(node.restStart, node.restStart + node.rest);
    else chart.view(node.start, node.start + node.total);
  },

  move(thing, step) {
    const node = thing && thing.kind === "way" && thing.choice === this.choice ? this.root.nodes[thing.id] : null;
    let next = this.root;
    if (node) {
      const among = node.parent ? node.parent.sorted : [node];
      next = {
        out: node.parent, in: node.sorted[0],
        before: among[Math.max(0, among.indexOf(node) - 1)],
        after: among[Math.min(among.length - 1, among.indexOf(node) + 1)],
      }[step];
    }
    return next ? { kind: "way", id: next.id, choice: this.choice } : null;
  },
};
