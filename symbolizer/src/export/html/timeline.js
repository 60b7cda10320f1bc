// SPDX-License-Identifier: MIT OR GPL-2.0-only
// The boot in time: lanes of levels, initcalls and tasks, and the calls of a CPU or a task below.

const LANE = 20;
const ROW = 18;

const levels = D.levels.map((level, index) => ({ ...level, index })).filter((level) => level.name !== "firmware");

/** Initcalls in rows, so that none covers another; by CPU. */
const initcallRows = new Map();
{
  const ends = new Map();
  D.initcalls.forEach((initcall, index) => {
    const cpu = initcall.cpu ?? cpus[0] ?? 0;
    if (!initcallRows.has(cpu)) {
      initcallRows.set(cpu, []);
      ends.set(cpu, []);
    }
    const free = ends.get(cpu);
    // What runs beside the initcalls has rows of its own.
    const least = initcall.kind === "async" || initcall.kind === "deferred" ? 1 : 0;
    let row = least;
    while (row < 3 && free[row] > initcall.start) row++;
    free[row] = initcall.start + initcall.wall;
    (initcallRows.get(cpu)[row] ??= []).push(index);
  });
}

const timelineOwner = {
  min: 0, max: Math.max(D.span, 1), least: D.unit === "ns" ? 200 : 2000, gutter: true,
  source: cpus.length ? { cpu: cpus[0] } : { task: 0 },

  draw(chart) {
    const { ctx } = chart;
    let y = 22;
    this.drawAxis(chart);
    const bands = y;
    if (levels.length) {
      // A search for functions leaves levels and tasks as they are.
      const sought = search.text && levels.some((level) => matches(level.name));
      this.lane(chart, y, "Levels");
      for (const level of levels) {
        const dearest = level.index === D.dearest;
        const hit = matches(level.name);
        chart.rect(chart.x(level.began), chart.x(level.began + level.time), y, LANE, dearest ? C.accent : C.band,
          `${level.name}  ${time(level.time)}`, { kind: "level", id: level.index },
          { ink: dearest ? C["accent-ink"] : C.text, dim: sought && !hit, strong: sought && hit });
      }
      y += LANE + 3;
    }
    for (const cpu of cpus.slice(0, 8)) y = this.drawCpu(chart, y, cpu);
    if (cpus.length > 8) {
      ctx.fillStyle = C.dim;
      ctx.fillText(`${cpus.length - 8} more CPUs are not drawn`, chart.left + 4, y + 8);
      y += LANE;
    }
    y += 4;
    ctx.fillStyle = C.line;
    ctx.fillRect(0, y, chart.width, 1);
    chart.top = y + 3;
    chart.room = chart.height - chart.top;
    ctx.save();
    ctx.beginPath();
    ctx.rect(0, chart.top, chart.width, chart.room);
    ctx.clip();
    const before = chart.rects.length;
    this.deepest = 0;
    if (this.source.cpu !== undefined) this.drawCalls(chart, this.source.cpu);
    else this.drawTask(chart, this.source.task);
    chart.depths = (this.deepest + 2) * ROW;
    this.gutter(chart, chart.top + 10, "Calls on", this.source.cpu !== undefined ? `CPU ${this.source.cpu}` : taskLabel(this.source.task));
    for (let i = before; i < chart.rects.length; i++) {
      const rect = chart.rects[i];
      if (rect.y < chart.top) rect.y = rect.y + rect.h <= chart.top ? -100 : rect.y;
    }
    chart.drawOutline();
    ctx.restore();
    // Begins of levels run through all lanes.
    ctx.fillStyle = C.line;
    for (const level of levels) {
      const x = Math.round(chart.x(level.began));
      if (x > chart.left && x < chart.width) ctx.fillRect(x, bands, 1, chart.height - bands);
    }
    chart.drawOutline();
    if (chart.depths - chart.scroll > chart.room + ROW) {
      const text = "more calls below: ↓ or drag up";
      ctx.font = "11px system-ui, sans-serif";
      const w = ctx.measureText(text).width + 14;
      ctx.fillStyle = C.bg;
      ctx.fillRect(chart.width - w - 6, chart.height - 22, w, 18);
      ctx.fillStyle = C.dim;
      ctx.fillText(text, chart.width - w + 1, chart.height - 12);
    }
    const size = chart.to - chart.from;
    const step = 10 ** Math.floor(Math.log10(size / 300));
    const shown = (value) => moment(value, Math.max(step, D.unit === "ns" && size >= 1e8 ? 1e6 : 1), size);
    $("range").textContent = `shown: ${shown(chart.from)} to ${shown(chart.to)}, ${time(size)}`;
  },

  drawAxis(chart) {
    const { ctx } = chart;
    const { all, step } = ticks(chart.from, chart.to, Math.max(2, (chart.width - chart.left) / 110));
    ctx.fillStyle = C.dim;
    ctx.font = "11px system-ui, sans-serif";
    for (const at of all) {
      const x = Math.round(chart.x(at));
      ctx.fillStyle = C.line;
      ctx.fillRect(x, 14, 1, 6);
      ctx.fillStyle = C.dim;
      const text = moment(at, step);
      if (x + ctx.measureText(text).width + 4 < chart.width) ctx.fillText(text, x + 4, 10);
    }
    ctx.font = "12px system-ui, sans-serif";
  },

  gutter(chart, y, text, more) {
    const { ctx } = chart;
    ctx.fillStyle = C.dim;
    ctx.font = "11px system-ui, sans-serif";
    chart.label(text, 8, y, chart.left - 12);
    if (more) {
      ctx.fillStyle = C.ink;
      chart.label(more, 8, y + 15, chart.left - 12);
    }
    ctx.font = "12px system-ui, sans-serif";
  },

  lane(chart, y, text) { this.gutter(chart, y + LANE / 2, text); },

  drawCpu(chart, y, cpu) {
    const all = initcallRows.get(cpu) ?? [];
    if (all.length) {
      this.lane(chart, y, "Initcalls");
      all.forEach((row, depth) => this.drawInitcalls(chart, row ?? [], y + depth * LANE));
      y += all.length * LANE;
    }
    this.lane(chart, y, `CPU ${cpu}`);
    const { ctx } = chart;
    const stretches = onCpu.get(cpu);
    // Where nothing is drawn over this there were stretches too short to be drawn, or to be kept.
    ctx.fillStyle = R.least > 0 ? chart.more : C.band;
    const up = Math.max(chart.left, chart.x(stretches[0].from));
    ctx.fillRect(up, y, Math.min(chart.width, chart.x(stretches[stretches.length - 1].to)) - up, LANE - 1);
    const sought = search.text && D.tasks.some((_, task) => matches(taskLabel(task)));
    let last = -1;
    for (let i = first(stretches.length, (i) => stretches[i].to > chart.from); i < stretches.length; i++) {
      const { task, from, to, idle } = stretches[i];
      if (from > chart.to) break;
      const [x0, x1] = [chart.x(from), chart.x(to)];
      if (x1 - x0 < 0.6 && Math.floor(x0) === last) continue;
      last = Math.floor(x1);
      const label = idle ? "idle" : taskLabel(task);
      chart.rect(x0, x1, y, LANE, idle ? chart.idle : tasksFill(task), label, { kind: "stretch", id: `${cpu}/${i}`, cpu, index: i },
        { dim: sought && !matches(label), strong: sought && matches(label), ink: idle ? C.dim : C.text });
    }
    for (const [at, when, text] of D.missing) {
      if (at !== cpu || when < chart.from || when > chart.to) continue;
      const x = chart.x(when);
      chart.rect(x - 1.5, x + 1.5, y - 2, LANE + 4, C.warn, "", { kind: "missing", id: `${at}/${when}`, text, when, cpu });
    }
    return y + LANE + 3;
  },

  drawInitcalls(chart, row, y) {
    let last = -1;
    for (const index of row) {
      const initcall = D.initcalls[index];
      const [x0, x1] = [chart.x(initcall.start), chart.x(initcall.start + initcall.wall)];
      if (x1 < chart.left || x0 > chart.width || (x1 - x0 < 0.6 && Math.floor(x0) === last)) continue;
      last = Math.floor(x1);
      const hit = matches(initcall.name);
      chart.rect(x0, x1, y, LANE, fill(initcall.function), initcall.name, { kind: "initcall", id: index },
        { dim: !hit, strong: search.text && hit });
    }
  },

  drawCalls(chart, cpu) {
    const stretches = onCpu.get(cpu) ?? [];
    for (let i = first(stretches.length, (i) => stretches[i].to > chart.from); i < stretches.length; i++) {
      const { task, from, to, idle } = stretches[i];
      if (from > chart.to) break;
      if (chart.x(to) - chart.x(from) < 0.4) continue;
      if (!idle) this.drawRows(chart, rows[task], Math.max(from, chart.from), Math.min(to, chart.to), 1);
    }
  },

  /** Calls of one task, pale where it waited. */
  drawTask(chart, task) {
    this.drawRows(chart, rows[task], chart.from, chart.to, 0.4);
    const stretches = onTask[task];
    for (let i = first(stretches.length, (i) => stretches[i].to > chart.from); i < stretches.length; i++) {
      const { from, to, idle } = stretches[i];
      if (from > chart.to) break;
      if (!idle && chart.x(to) - chart.x(from) > 0.4) {
        this.drawRows(chart, rows[task], Math.max(from, chart.from), Math.min(to, chart.to), 1);
      }
    }
  },

  drawRows(chart, task, from, to, alpha) {
    for (let depth = 0; depth < task.length; depth++) {
      const row = task[depth];
      const y = chart.top + depth * ROW - chart.scroll;
      let any = false;
      let last = -1;
      for (let k = first(row.length, (k) => spans.end[row[k]] > from); k < row.length; k++) {
        const i = row[k];
        if (spans.start[i] >= to) break;
        any = true;
        const [x0, x1] = [chart.x(Math.max(spans.start[i], from)), chart.x(Math.min(spans.end[i], to))];
        if (x1 - x0 < 0.6 && Math.floor(x0) === last) continue;
        last = Math.floor(x1);
        if (y <= chart.top - ROW || y >= chart.height) continue;
        const f = spans.fn[i];
        const hit = !search.functions || (f >= 0 && search.functions[f]);
        chart.rect(x0, x1, y, ROW, fill(f), name(f), { kind: "span", id: i }, { dim: !hit, strong: search.functions && hit, alpha });
        // In the row of its callees: those that are too short to be drawn, beneath those that are drawn.
        if (alpha === 1 && x1 - x0 > 4 && spans.rest[i] > spans.total[i] * 0.02) {
          chart.ctx.fillStyle = chart.more;
          chart.ctx.fillRect(Math.max(x0, chart.left), y + ROW, Math.min(x1, chart.width) - Math.max(x0, chart.left) - 1, ROW - 2);
        }
      }
      if (!any) break;
      this.deepest = Math.max(this.deepest, depth);
    }
  },

  tip(thing) {
    if (thing.kind === "span") {
      const i = thing.id;
      const waited = spans.end[i] - spans.start[i] - spans.total[i];
      return [name(spans.fn[i]), `${time(spans.total[i])} on CPU, ${time(spans.own[i])} of it itself`,
        waited > spans.total[i] / 20 ? `${time(waited)} waited` : "", `in ${taskLabel(spans.task[i])}`];
    }
    if (thing.kind === "initcall") {
      const initcall = D.initcalls[thing.id];
      return [initcall.name, `${time(initcall.wall)}, ${time(initcall.on_cpu)} of it on CPU`, initcall.why];
    }
    if (thing.kind === "level") {
      const level = D.levels[thing.id];
      return [`${level.name}: ${time(level.time)} (${percent(level.time, D.span)} %)`, level.what, level.why];
    }
    if (thing.kind === "missing") return [thing.text, `at ${time(thing.when)} on CPU ${thing.cpu}`];
    const { task, from, to, idle } = onCpu.get(thing.cpu)[thing.index];
    return [idle ? `CPU ${thing.cpu} idle` : taskLabel(task), `${time(to - from)} on CPU ${thing.cpu}`];
  },

  extent(thing) {
    if (thing.kind === "span") return [spans.start[thing.id], spans.end[thing.id]];
    if (thing.kind === "initcall") return [D.initcalls[thing.id].start, D.initcalls[thing.id].start + D.initcalls[thing.id].wall];
    if (thing.kind === "level") return [D.levels[thing.id].began, D.levels[thing.id].began + D.levels[thing.id].time];
    if (thing.kind === "stretch") {
      const stretch = onCpu.get(thing.cpu)[thing.index];
      return [stretch.from, stretch.to];
    }
    return null;
  },

  zoomTo(chart, thing) {
    const extent = this.extent(thing);
    if (!extent) return;
    const margin = Math.max((extent[1] - extent[0]) * 0.03, 1);
    chart.view(extent[0] - margin, extent[1] + margin);
  },

  /** The bar that is `step` from the selected one: out, in, before or after. */
  move(thing, step) {
    const along = (all, at) => all[Math.max(0, Math.min(all.length - 1, at + (step === "after" ? 1 : -1)))];
    if (thing && thing.kind === "span") {
      const i = thing.id;
      const row = rows[spans.task[i]];
      let next = -1;
      if (step === "out") next = spans.parent[i];
      else if (step === "in") {
        for (const k of row[spans.depth[i] + 1] ?? []) {
          if (spans.parent[k] === i && (next < 0 || spans.total[k] > spans.total[next])) next = k;
        }
      } else {
        const same = row[spans.depth[i]];
        next = along(same, same.indexOf(i));
      }
      return next >= 0 ? { kind: "span", id: next } : null;
    }
    if (thing && thing.kind === "initcall" && step === "in") {
      const { start, wall, function: f } = D.initcalls[thing.id];
      const found = spanOf(f, start, start + wall);
      return found >= 0 ? { kind: "span", id: found } : null;
    }
    if (thing && (thing.kind === "initcall" || thing.kind === "level") && (step === "before" || step === "after")) {
      const all = thing.kind === "level" ? levels.map((level) => level.index) : D.initcalls.map((_, index) => index);
      return { kind: thing.kind, id: along(all, all.indexOf(thing.id)) };
    }
    return levels.length ? { kind: "level", id: D.dearest ?? levels[0].index } : null;
  },
};

/** The drawn call of a function that overlaps a stretch of time, the longest. */
function spanOf(f, from, to) {
  let best = -1;
  for (let i = 0; i < spans.n; i++) {
    if (spans.fn[i] === f && spans.start[i] < to && spans.end[i] > from && (best < 0 || spans.total[i] > spans.total[best])) best = i;
  }
  return best;
}
