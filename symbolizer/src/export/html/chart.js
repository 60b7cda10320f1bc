// SPDX-License-Identifier: MIT OR GPL-2.0-only
// A chart that zooms: what the timeline and the merged tree have in common. It draws bars that its owner gives it
// and turns wheel, drag and keys into a view.

class Chart {
  /** `owner.draw(chart)` draws with `chart.rect`; `owner.move(thing, key)` finds the next thing to select. */
  constructor(canvas, owner) {
    this.canvas = canvas;
    this.ctx = canvas.getContext("2d");
    this.owner = owner;
    this.rects = [];
    this.scroll = 0;
    this.depths = 0;
    this.queued = false;
    this.from = owner.min;
    this.to = owner.max;
    this.hover = null;
    this.listen();
    new ResizeObserver(() => this.redraw()).observe(canvas);
  }

  get left() { return this.owner.gutter ? (this.width < 640 ? 66 : 104) : 0; }
  x(value) { return this.left + (value - this.from) / (this.to - this.from) * (this.width - this.left); }
  value(x) { return this.from + (x - this.left) / (this.width - this.left) * (this.to - this.from); }

  redraw() {
    if (this.queued) return;
    this.queued = true;
    requestAnimationFrame(() => {
      this.queued = false;
      this.paint();
    });
  }

  paint() {
    const ratio = window.devicePixelRatio || 1;
    this.width = this.canvas.clientWidth;
    this.height = this.canvas.clientHeight;
    if (this.width === 0) return;
    const [w, h] = [Math.round(this.width * ratio), Math.round(this.height * ratio)];
    if (this.canvas.width !== w || this.canvas.height !== h) {
      this.canvas.width = w;
      this.canvas.height = h;
    }
    this.ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.ctx.fillStyle = C.panel;
    this.ctx.fillRect(0, 0, this.width, this.height);
    this.ctx.font = "12px system-ui, sans-serif";
    this.ctx.textBaseline = "middle";
    this.rects = [];
    this.more = hatch(this.ctx, C.quiet);
    this.idle = hatch(this.ctx, C.line, C.idle);
    this.owner.draw(this);
    const view = `${this.from}:${this.to}`;
    if (this.canvas.dataset.view !== view) this.canvas.dataset.view = view;
    this.canvas.dataset.bars = this.rects.length;
  }

  /** A bar, with its name if there is room. `thing` is what a click selects. */
  rect(x0, x1, y, h, colour, text, thing, options) {
    const { ctx } = this;
    const limit = this.left;
    const a = Math.max(x0, limit);
    const b = Math.min(x1, this.width);
    if (b <= a && !(b === a && b > limit)) return;
    const w = Math.max(b - a, 0.6);
    const gap = w > 3 ? 0.8 : 0;
    const dim = options && options.dim;
    ctx.globalAlpha = dim ? 0.28 : (options && options.alpha) || 1;
    ctx.fillStyle = colour;
    ctx.fillRect(a, y, w - gap, h - 1);
    ctx.globalAlpha = 1;
    if (options && options.strong && w > 2) {
      ctx.strokeStyle = C.accent;
      ctx.lineWidth = 1.5;
      ctx.strokeRect(a + 0.75, y + 0.75, w - gap - 1.5, h - 2.5);
    }
    if (text && w > 24) {
      ctx.fillStyle = (options && options.ink) || C.text;
      ctx.globalAlpha = dim ? 0.5 : 1;
      this.label(text, a + 5, y + h / 2, w - 9);
      ctx.globalAlpha = 1;
    }
    if (thing) this.rects.push({ x: a, y, w, h, thing });
    if (selected && thing && same(selected, thing)) this.outline = { x: a, y, w: w - gap, h: h - 1 };
  }

  /** Text, cut to a width. */
  label(text, x, y, width) {
    const room = Math.floor(width / 6.1);
    if (room < 2) return;
    let shown = text;
    if (text.length > room && this.ctx.measureText(text).width > width) {
      let keep = Math.min(text.length, Math.ceil(width / 4));
      while (keep > 1 && this.ctx.measureText(`${text.slice(0, keep)}…`).width > width) keep--;
      if (keep < 3) return;
      shown = `${text.slice(0, keep)}…`;
    }
    this.ctx.fillText(shown, x, y + 0.5);
  }

  drawOutline() {
    if (!this.outline) return;
    const { x, y, w, h } = this.outline;
    this.ctx.strokeStyle = C.ink;
    this.ctx.lineWidth = 2;
    this.ctx.strokeRect(x + 1, y + 1, Math.max(w - 2, 1), h - 2);
    this.outline = null;
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    let found = null;
    for (const rect of this.rects) {
      // Narrow bars can be hit, too; of two the one that was drawn last.
      const slack = rect.w < 3 ? 1.5 : 0;
      if (x >= rect.x - slack && x <= rect.x + rect.w + slack && y >= rect.y && y < rect.y + rect.h) found = rect;
    }
    return { x, y, rect: found };
  }

  view(from, to) {
    const { min, max, least } = this.owner;
    const span = Math.min(Math.max(to - from, least), max - min);
    const middle = (from + to) / 2;
    this.from = Math.min(Math.max(middle - span / 2, min), max - span);
    this.to = this.from + span;
    this.redraw();
  }

  zoom(factor, around) {
    const at = around ?? (this.from + this.to) / 2;
    const span = (this.to - this.from) * factor;
    const share = (at - this.from) / (this.to - this.from);
    const { min, max, least } = this.owner;
    const wanted = Math.min(Math.max(span, least), max - min);
    this.view(at - share * wanted, at - share * wanted + wanted);
  }

  pan(part) {
    const step = (this.to - this.from) * part;
    this.view(this.from + step, this.to + step);
  }

  scrollBy(pixels) {
    const most = Math.max(0, this.depths - this.room);
    this.scroll = Math.min(Math.max(0, this.scroll + pixels), most);
    this.redraw();
  }

  reset() {
    this.scroll = 0;
    this.view(this.owner.min, this.owner.max);
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("wheel", (event) => {
      // Who scrolls down the page goes on doing so when a chart comes below the pointer.
      if (event.timeStamp - Chart.scrolled < 300 && document.activeElement !== canvas) {
        Chart.scrolled = event.timeStamp;
        return;
      }
      event.preventDefault();
      event.stopPropagation();
      const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
      if (Math.abs(sideways) > (event.shiftKey ? 0 : Math.abs(event.deltaY))) {
        this.pan(sideways / 800);
      } else {
        const delta = Math.max(-200, Math.min(200, event.deltaMode === 1 ? event.deltaY * 30 : event.deltaY));
        this.zoom(Math.exp(delta / 300), this.value(event.clientX - canvas.getBoundingClientRect().left));
      }
    }, { passive: false });

    let drag = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      drag = { x: event.clientX, y: event.clientY, from: this.from, to: this.to, scroll: this.scroll, moved: false };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!drag) return this.point(event);
      const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
      if (!drag.moved && Math.hypot(dx, dy) < 4) return;
      drag.moved = true;
      canvas.classList.add("drag");
      hideTip();
      const shift = dx / (this.width - this.left) * (drag.to - drag.from);
      this.view(drag.from - shift, drag.to - shift);
      this.scroll = drag.scroll;
      this.scrollBy(-dy);
    });
    const end = (event) => {
      if (drag && !drag.moved && event.type === "pointerup") {
        const { rect } = this.at(event);
        select(rect ? rect.thing : null);
      }
      drag = null;
      canvas.classList.remove("drag");
    };
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
    canvas.addEventListener("pointerleave", hideTip);
    canvas.addEventListener("dblclick", (event) => {
      const { rect } = this.at(event);
      if (rect) this.owner.zoomTo(this, rect.thing);
    });
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const keys = {
      "+": () => this.zoom(0.6), "=": () => this.zoom(0.6), "-": () => this.zoom(1 / 0.6), "_": () => this.zoom(1 / 0.6),
      ArrowLeft: () => this.pan(-0.15), ArrowRight: () => this.pan(0.15),
      ArrowUp: () => this.scrollBy(-54), ArrowDown: () => this.scrollBy(54),
      0: () => this.reset(), Home: () => this.reset(),
      Enter: () => selected && this.owner.zoomTo(this, selected),
      Escape: () => select(null),
    };
    const step = { w: "out", s: "in", a: "before", d: "after" }[event.key];
    if (step) select(this.owner.move(selected, step) ?? selected);
    else if (keys[event.key]) keys[event.key]();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  point(event) {
    const { rect } = this.at(event);
    this.canvas.style.cursor = rect ? "pointer" : "grab";
    if (rect) showTip(event, this.owner.tip(rect.thing));
    else hideTip();
  }
}
Chart.scrolled = -1e9;
window.addEventListener("wheel", (event) => { Chart.scrolled = event.timeStamp; }, { passive: true });

function same(a, b) {
  return a.kind === b.kind && a.id === b.id;
}

/** A short text beside the pointer: lines, the first one strong. */
function showTip(event, lines) {
  const tip = $("tip");
  tip.replaceChildren(...lines.filter(Boolean).map((line, index) => el(index ? "div" : "strong", {}, line)));
  tip.hidden = false;
  const [w, h] = [tip.offsetWidth, tip.offsetHeight];
  const x = Math.min(event.clientX + 14, window.innerWidth - w - 8);
  const y = event.clientY + 18 + h > window.innerHeight ? event.clientY - h - 10 : event.clientY + 18;
  tip.style.left = `${Math.max(4, x)}px`;
  tip.style.top = `${Math.max(4, y)}px`;
}
function hideTip() { $("tip").hidden = true; }

/** Ticks at round values. */
function ticks(from, to, most) {
  const raw = (to - from) / most;
  const size = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * size).find((s) => s >= raw);
  const all = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) all.push(at);
  return { all, step };
}
