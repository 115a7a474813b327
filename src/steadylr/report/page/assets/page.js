// Looks numbers up and draws them. Every suggestion, consensus, verdict and line was computed when the page was made.
(() => {
"use strict";

const NONE = 65535;
const MANY = 7; // runs that have a colour of their own
const NEAR = 40; // pixels within which a line is under the pointer
const SVG = "http://www.w3.org/2000/svg";

const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
const floats = (text) => new Float32Array(bytes(text));
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const clear = (element) => { while (element.firstChild) element.firstChild.remove(); };

function written(value) { // as LRs are written everywhere: 6.16e-2
  return value.toExponential(2).replace("e+", "e");
}
function power(value) {
  const exponent = Math.round(Math.log10(value));
  const isPower = Math.abs(value / 10 ** exponent - 1) < 1e-6;
  if (!isPower) return value < 0.001 || value >= 1000 ? String(Number(value.toPrecision(1)).toExponential(0)) : String(Number(value.toPrecision(2)));
  return "10" + String(exponent).replace(/[-0-9]/g, (digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit] || "⁻");
}
function short(value) { // 2e-2, 1.5e-2
  return Number(value.toPrecision(2)).toExponential().replace("e+", "e");
}
function lossText(value) {
  return value === null || Number.isNaN(value) ? "none" : String(Number(value.toPrecision(4)));
}

// ---- one kind of run

class Kind {
  constructor(section, before) {
    this.section = section;
    this.data = JSON.parse(section.querySelector("script[data-of]").textContent);
    this.states = this.data.states;
    this.runs = this.data.runs;
    this.hidden = new Set();
    this.value = this.data.start.value;
    this.rule = this.data.start.rule;
    this.moved = false;
    this.focused = null;
    this.at = null;
    if (before) this.restore(before);
    this.curves = this.data.curves ? this.decoded(this.data.curves) : null;
    this.bind();
    if (this.curves) this.drawCurves();
    this.show();
    if (this.data.schedule) this.drawSchedule();
  }

  find(selector) { return this.section.querySelector(selector); }

  // what the reader has set, for a page that is drawn anew
  kept() {
    return { moved: this.moved, value: this.data.values[this.value], rule: this.data.rules[this.rule],
      hidden: [...this.hidden].map((run) => this.runs[run].name) };
  }

  restore(before) {
    const names = this.runs.map((run) => run.name);
    this.hidden = new Set(before.hidden.map((name) => names.indexOf(name)).filter((run) => run >= 0));
    const value = this.data.values.indexOf(before.value), rule = this.data.rules.indexOf(before.rule);
    if (before.moved && value >= 0 && rule >= 0) Object.assign(this, { moved: true, value, rule });
  }

  decoded(packed) {
    const points = packed.points;
    const split = (array) => packed.runs.map((_, k) => array.subarray(k * points, (k + 1) * points));
    const lines = (text) => split(new Uint16Array(bytes(text))).map((steps, k) => {
      const [bottom, top] = packed.ends[k], factor = ((top - bottom) || 1) / 65534;
      return Array.from(steps, (step) => (step === NONE ? null : bottom + step * factor));
    });
    return { lr: Array.from(floats(packed.lr)), raw: split(floats(packed.raw)), own: packed.own, lines: packed.lines,
      unpacked: lines, runs: packed.runs, low: Math.min(...packed.ends.map((end) => end[0])),
      high: Math.max(...packed.ends.map((end) => end[1])) };
  }

  get isOwn() {
    const { start } = this.data;
    return !this.moved || (start.same && this.value === start.value && this.rule === start.rule);
  }

  get state() {
    return this.isOwn ? this.states.own : this.states.others[`${this.data.values[this.value]} ${this.data.rules[this.rule]}`];
  }

  lines() {
    const packed = this.isOwn ? this.curves.own : this.curves.lines[this.value];
    return this.curves.unpacked(packed);
  }

  colourOf(run) {
    if (this.runs.length <= MANY) return colour(`--run-${run}`);
    return this.runs[run].odd ? colour("--bad") : colour("--many");
  }

  // ---- what the reader does

  bind() {
    const slider = this.find("[data-slider]");
    if (slider) {
      slider.value = this.value;
      slider.addEventListener("input", () => { this.value = Number(slider.value); this.moved = true; this.show(true); });
    }
    for (const radio of this.section.querySelectorAll("[data-kind] input[type=radio], .rules input")) {
      radio.checked = Number(radio.value) === this.rule;
      radio.addEventListener("change", () => { this.rule = Number(radio.value); this.moved = true; this.show(true); });
    }
    const back = this.find("[data-back]");
    if (back) back.addEventListener("click", () => this.back(slider));
    for (const button of this.section.querySelectorAll(".toggle")) {
      const run = Number(button.closest("[data-run]").dataset.run);
      button.addEventListener("click", () => this.toggle(run));
      button.addEventListener("focus", () => this.focus(run));
      button.addEventListener("blur", () => this.focus(null));
      button.style.setProperty("--dot", this.runs.length <= MANY ? `var(--run-${run})` : this.runs[run].odd ? "var(--bad)" : "var(--soft)");
    }
    for (const button of this.section.querySelectorAll("[data-all]")) {
      button.addEventListener("click", () => {
        this.hidden = new Set(button.dataset.all === "hide" ? this.runs.keys() : []);
        this.show();
      });
    }
    const plot = this.find("[data-plot]");
    if (plot) plot.addEventListener("keydown", (event) => this.key(event));
  }

  back(slider) {
    Object.assign(this, { moved: false, value: this.data.start.value, rule: this.data.start.rule });
    slider.value = this.value;
    for (const radio of this.section.querySelectorAll(".rules input")) radio.checked = Number(radio.value) === this.rule;
    this.show(true);
    slider.focus();
  }

  toggle(run) {
    if (!this.hidden.delete(run)) this.hidden.add(run);
    this.show();
  }

  key(event) {
    const { lr, runs } = this.curves;
    const seen = runs.filter((run) => !this.hidden.has(run));
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1 };
    if (event.key === "Enter" || event.key === " ") {
      if (this.focused !== null) this.toggle(this.focused);
    } else if (event.key in steps && seen.length) {
      this.at = this.at ?? Math.round(lr.length / 2);
      if (event.key === "ArrowUp" || event.key === "ArrowDown") {
        const place = seen.indexOf(this.focused) + steps[event.key];
        this.focused = seen[(place + seen.length) % seen.length];
      } else {
        const stride = Math.max(1, Math.round(lr.length / 100));
        this.at = Math.min(lr.length - 1, Math.max(0, this.at + steps[event.key] * stride));
        this.focused = this.focused ?? seen[0];
      }
      this.focus(this.focused, this.at);
      this.find("[data-said]").textContent = this.told().join(", ");
    } else return;
    event.preventDefault();
  }

  // ---- what is shown

  show(isOther) {
    const { state, section } = this;
    const fill = (name, text) => { for (const spot of section.querySelectorAll(`[data-field="${name}"]`)) spot.textContent = text; };
    for (const name of ["choice", "range", "n", "summary", "torch", "with"]) fill(name, state[name]);
    fill("lr", state.lr || "none");
    for (const name of ["advice", "holds"]) {
      const list = this.find(`[data-list="${name}"]`);
      clear(list);
      const label = this.find(`[data-for="${name}"]`);
      if (label) label.hidden = !state[name].length;
      for (const text of state[name]) list.appendChild(document.createElement("li")).textContent = text;
    }
    this.find("[data-card]").className = `card ${state.tone}`;
    this.find("[data-torch]").hidden = !state.torch;
    this.showRows(state);
    this.showRuns(state);
    this.showReading(state);
    if (this.chart) this.redraw(isOther);
    this.drawStrip();
    if (isOther && this.data.schedule) this.drawSchedule();
  }

  showReading(state) {
    const moved = this.find("[data-moved]"), output = this.find("[data-value]"), now = this.find("[data-now]");
    moved.hidden = this.isOwn;
    if (!output) return;
    const value = this.data.values[this.value], rule = this.data.rules[this.rule];
    output.textContent = this.isOwn ? this.data.start.said : `smooth_f ${value}`;
    this.find("[data-slider]").setAttribute("aria-valuetext", output.textContent);
    this.find("[data-back]").hidden = this.isOwn;
    const own = this.states.own.lr || "none";
    const reading = `smooth_f ${value} and the rule ${rule}`;
    moved.textContent = this.data.fixed
      ? `The range tests are shown read with ${reading}; the answer comes from short trainings and stays.`
      : `This is what the curves say with ${reading}. The answer as it was asked for: ${own}.`;
    now.textContent = state.middle === null ? "No run has an LR." :
      `${this.isOwn ? "The answer" : `With ${reading}`}: LR ${written(state.middle)}` +
      (state.low !== state.high ? `, suggestions from ${written(state.low)} to ${written(state.high)}` : "") + `; ${state.with}.`;
  }

  showRows(state) {
    const rows = this.find("[data-rows]");
    clear(rows);
    for (const cells of state.rows) {
      const row = rows.appendChild(document.createElement("tr"));
      for (const [place, cell] of [...cells, "", ""].slice(0, 3).entries()) {
        const made = row.appendChild(document.createElement("td"));
        made.textContent = cell;
        if (place === 1) made.className = "num";
      }
    }
  }

  showRuns(state) {
    for (const row of this.section.querySelectorAll("[data-run]")) {
      const run = Number(row.dataset.run);
      row.querySelector("[data-lr]").textContent = state.lrs[run] || "none";
      row.querySelector("[data-why]").textContent = this.states.reasons[state.why[run]];
      row.querySelector(".toggle").setAttribute("aria-pressed", String(!this.hidden.has(run)));
    }
  }

  // ---- the curves

  drawCurves() {
    const plot = this.find("[data-plot]");
    if (this.chart) this.chart.destroy();
    clear(plot);
    this.isReady = false;
    const { lr, low, high, runs } = this.curves;
    const room = 0.04 * ((high - low) || 1);
    this.chart = new uPlot({
      width: plot.clientWidth || 680, height: Math.max(320, Math.min(440, Math.round((plot.clientWidth || 680) * 0.46))),
      legend: { show: false },
      cursor: { points: { show: false }, drag: { x: true, y: false, dist: 6 }, y: false },
      scales: { x: { time: false, distr: 3, range: (_, from, to) => [from, to] }, y: { range: () => [low - room, high + room] } },
      axes: [
        axis("learning rate", { labelSize: 22, size: 32, filter: seenTicks, grid: { stroke: () => colour("--line"), width: 1, filter: seenTicks },
          values: (_, splits) => splits.map((one) => (one === null ? "" : power(one))) }),
        axis("loss", { labelSize: 20, size: 52 }),
      ],
      series: [{}, ...runs.map((run) => ({ scale: "y", stroke: () => this.colourOf(run), width: runs.length <= MANY ? 2 : 1,
        points: { show: false }, show: !this.hidden.has(run), spanGaps: false }))],
      hooks: {
        drawAxes: [(u) => this.drawBand(u)],
        draw: [(u) => this.drawAnswer(u)],
        setCursor: [(u) => this.hover(u)],
        setScale: [(_, name) => { if (name === "x") this.drawStrip(); }],
        ready: [() => { this.isReady = true; this.drawStrip(); }],
      },
    }, [lr, ...this.lines()], plot);
    this.chart.over.addEventListener("click", (event) => {
      if (event.detail === 1 && this.focused !== null && this.chart.select.width < 2) this.toggle(this.focused);
    });
    this.over = this.chart.root.appendChild(document.createElement("canvas"));
    this.over.className = "over";
    this.tip = this.chart.over.appendChild(document.createElement("div"));
    this.tip.className = "tip";
    this.tip.hidden = true;
  }

  redraw(isOther) {
    this.chart.batch(() => {
      if (isOther) this.chart.setData([this.curves.lr, ...this.lines()], false);
      for (const [place, run] of this.curves.runs.entries()) {
        const show = !this.hidden.has(run);
        if (this.chart.series[place + 1].show !== show) this.chart.setSeries(place + 1, { show });
      }
      this.chart.redraw(false);
    });
    this.focus(this.hidden.has(this.focused) ? null : this.focused, this.at);
  }

  place(u, lr) { return u.valToPos(lr, "x", true); }

  drawBand(u) {
    const { low, high } = this.state, { ctx, bbox } = u;
    if (low === null || low === high) return;
    const left = Math.max(bbox.left, this.place(u, low)), right = Math.min(bbox.left + bbox.width, this.place(u, high));
    ctx.save();
    ctx.fillStyle = colour("--band");
    if (right > left) ctx.fillRect(left, bbox.top, right - left, bbox.height);
    ctx.restore();
  }

  drawAnswer(u) {
    const { middle } = this.state, { ctx, bbox } = u;
    if (this.runs.length <= 3) for (const [place, run] of this.curves.runs.entries()) if (!this.hidden.has(run)) this.dots(u, ctx, place, run, 0.35);
    if (middle === null) return;
    const x = Math.round(this.place(u, middle));
    if (x < bbox.left || x > bbox.left + bbox.width) return;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = colour("--answer");
    ctx.lineWidth = 2 * devicePixelRatio;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.font = `600 ${13 * devicePixelRatio}px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif`;
    const isRight = x > bbox.left + 0.75 * bbox.width;
    ctx.textAlign = isRight ? "right" : "left";
    ctx.textBaseline = "top";
    ctx.fillText(`LR ${written(middle)}`, x + (isRight ? -8 : 8) * devicePixelRatio, bbox.top + 6 * devicePixelRatio);
    ctx.restore();
  }

  dots(u, ctx, place, run, alpha) {
    const { lr, raw } = this.curves, { bbox } = u, size = 2 * devicePixelRatio;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.globalAlpha = alpha;
    ctx.fillStyle = this.runs.length <= MANY ? this.colourOf(run) : colour("--ink");
    for (let k = 0; k < lr.length; k += 1) {
      const loss = raw[place][k];
      if (!Number.isNaN(loss)) ctx.fillRect(this.place(u, lr[k]) - size / 2, u.valToPos(loss, "y", true) - size / 2, size, size);
    }
    ctx.restore();
  }

  // ---- the run under the pointer

  hover(u) {
    const { left, top, idx } = u.cursor;
    if (left < 0 || idx === null || idx === undefined) { this.focus(null); return; }
    let nearest = null, distance = NEAR;
    for (const [place, run] of this.curves.runs.entries()) {
      const loss = this.hidden.has(run) ? null : u.data[place + 1][idx];
      if (loss === null || loss === undefined) continue;
      const away = Math.abs(u.valToPos(loss, "y") - top);
      if (away < distance) [nearest, distance] = [run, away];
    }
    this.focus(nearest, idx);
  }

  told() {
    const { lr, raw, runs } = this.curves, place = runs.indexOf(this.focused), run = this.runs[this.focused];
    if (place < 0) return [];
    const suggestion = this.state.lrs[this.focused];
    return [
      run.name, ...(run.seeds && run.seeds !== run.name ? [run.seeds] : []), `LR ${written(lr[this.at])}`,
      `loss ${lossText(raw[place][this.at])}, smoothed ${lossText(this.chart.data[place + 1][this.at])}`,
      suggestion ? `suggestion ${suggestion}` : "no suggestion",
    ];
  }

  focus(run, at) {
    this.focused = run;
    if (at !== undefined && at !== null) this.at = at;
    this.mark();
    if (!this.chart) return;
    const { chart, over, tip } = this, ratio = devicePixelRatio;
    const { width, height } = chart.ctx.canvas;
    if (over.width !== width || over.height !== height) Object.assign(over, { width, height });
    over.style.width = `${width / ratio}px`;
    over.style.height = `${height / ratio}px`;
    const ctx = over.getContext("2d"), place = this.curves.runs.indexOf(run);
    ctx.clearRect(0, 0, width, height);
    tip.hidden = run === null || this.at === null || place < 0;
    if (place < 0) return;
    this.dots(chart, ctx, place, run, 0.5);
    this.trace(ctx, place, run);
    if (tip.hidden) return;
    const lines = this.told();
    clear(tip);
    tip.appendChild(document.createElement("b")).textContent = lines[0];
    for (const line of lines.slice(1)) tip.appendChild(document.createElement("div")).textContent = line;
    const x = chart.valToPos(this.curves.lr[this.at], "x"), y = chart.valToPos(chart.data[place + 1][this.at] ?? this.curves.high, "y");
    tip.style.left = `${x > chart.over.clientWidth / 2 ? Math.max(0, x - tip.offsetWidth - 14) : x + 14}px`;
    tip.style.top = `${Math.min(Math.max(4, y - tip.offsetHeight - 8), chart.over.clientHeight - tip.offsetHeight - 4)}px`;
  }

  trace(ctx, place, run) {
    const { chart } = this, { bbox } = chart, { lr } = this.curves, losses = chart.data[place + 1];
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.strokeStyle = this.runs.length <= MANY ? this.colourOf(run) : colour("--ink");
    ctx.lineWidth = 2.5 * devicePixelRatio;
    ctx.beginPath();
    let isOpen = false;
    for (let k = 0; k < lr.length; k += 1) {
      if (losses[k] === null) { isOpen = false; continue; }
      const x = this.place(chart, lr[k]), y = chart.valToPos(losses[k], "y", true);
      if (isOpen) ctx.lineTo(x, y); else ctx.moveTo(x, y);
      isOpen = true;
    }
    ctx.stroke();
    if (this.at !== null && losses[this.at] !== null) {
      ctx.fillStyle = ctx.strokeStyle;
      ctx.beginPath();
      ctx.arc(this.place(chart, lr[this.at]), chart.valToPos(losses[this.at], "y", true), 4.5 * devicePixelRatio, 0, 7);
      ctx.fill();
    }
    ctx.restore();
  }

  mark() {
    const strip = this.find("[data-strip]");
    if (strip) for (const dot of strip.querySelectorAll(".dot")) dot.setAttribute("r", Number(dot.dataset.of) === this.focused ? 7 : this.radius);
  }

  // ---- the suggestions

  drawStrip() {
    const strip = this.find("[data-strip]");
    if (!strip || (this.curves && !this.isReady)) return;
    clear(strip);
    const { state } = this, width = strip.clientWidth || 680;
    const lrs = state.lrs.map((text) => (text === null ? null : Number(text)));
    const [from, to, left, right] = this.span(lrs, width);
    const isFew = this.runs.length <= 12, rowHeight = isFew ? 22 : Math.max(1.2, 200 / this.runs.length);
    const height = Math.round(this.runs.length * rowHeight) + 34;
    this.radius = isFew ? 5 : this.runs.length <= 60 ? 4 : 3;
    const x = (lr) => left + (Math.log10(lr / from) / Math.log10(to / from)) * (right - left);
    const svg = strip.appendChild(document.createElementNS(SVG, "svg"));
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("height", height);
    const draw = (name, given, text) => {
      const made = svg.appendChild(document.createElementNS(SVG, name));
      for (const [key, value] of Object.entries(given)) made.setAttribute(key, value);
      if (text !== undefined) made.textContent = text;
      return made;
    };
    const seen = (lr) => lr !== null && lr >= from * 0.999 && lr <= to * 1.001;
    const bottom = height - 26;
    for (let exponent = Math.ceil(Math.log10(from) - 1e-6); exponent <= Math.log10(to) + 1e-6; exponent += 1) {
      draw("line", { x1: x(10 ** exponent), x2: x(10 ** exponent), y1: 0, y2: bottom, stroke: "var(--line)" });
      draw("text", { x: x(10 ** exponent), y: height - 8, "text-anchor": "middle" }, power(10 ** exponent));
    }
    if (state.low !== null && state.low < state.high) {
      const start = Math.max(left, x(state.low)), end = Math.min(right, x(state.high));
      if (end > start) draw("rect", { x: start, y: 0, width: end - start, height: bottom, fill: "var(--band)" });
    }
    if (seen(state.middle)) draw("line", { x1: x(state.middle), x2: x(state.middle), y1: 0, y2: bottom, stroke: "var(--answer)", "stroke-width": 2 });
    const order = [...this.runs.keys()];
    if (!isFew) order.sort((one, other) => (lrs[one] ?? Infinity) - (lrs[other] ?? Infinity));
    for (const [row, run] of order.entries()) {
      const y = 4 + (row + 0.5) * rowHeight;
      if (isFew) draw("text", { x: left + 4, y: y + 4 }, lrs[run] === null ? `${this.runs[run].name}: no suggestion` : this.runs[run].name);
      if (this.hidden.has(run) || !seen(lrs[run])) continue;
      const fill = this.runs.length <= MANY ? `var(--run-${run})` : this.runs[run].odd ? "var(--bad)" : "var(--soft)";
      const dot = draw("circle", { cx: x(lrs[run]), cy: y, r: this.radius, fill, class: "dot", "data-of": run });
      dot.appendChild(document.createElementNS(SVG, "title")).textContent = `${this.runs[run].name}: ${state.lrs[run]}`;
      dot.addEventListener("click", () => this.toggle(run));
      dot.addEventListener("mouseenter", () => this.focus(run));
      dot.addEventListener("mouseleave", () => this.focus(null));
    }
  }

  span(lrs, width) { // the LRs at both ends and where these lie: below the curves, where there are any
    if (this.chart) {
      const { bbox, scales } = this.chart;
      return [scales.x.min, scales.x.max, bbox.left / devicePixelRatio, (bbox.left + bbox.width) / devicePixelRatio];
    }
    const known = lrs.filter((lr) => lr !== null);
    const low = known.length ? Math.min(...known) : 1e-4, high = known.length ? Math.max(...known) : 1;
    return [10 ** Math.floor(Math.log10(low) - 0.3), 10 ** Math.ceil(Math.log10(high) + 0.3), 16, width - 16];
  }

  // ---- the schedule

  drawSchedule() {
    const plot = this.find("[data-schedule]"), { x, lr, steps } = this.data.schedule;
    if (this.schedule) this.schedule.destroy();
    this.schedule = null;
    clear(plot);
    const peak = this.data.fixed ? Number(this.states.own.lr) : this.state.middle;
    if (!peak) return;
    this.schedule = new uPlot({
      width: plot.clientWidth || 680, height: 240, legend: { show: false }, cursor: { show: false },
      scales: { x: { time: false, range: (_, from, to) => [from, to] }, y: { range: (_, from, to) => [0, 1.08 * to] } },
      axes: [
        axis(steps ? "step" : "share of the training", { labelSize: 22, size: 30,
          values: (_, splits) => splits.map((one) => (steps ? one.toLocaleString("en") : `${Math.round(100 * one)}%`)) }),
        axis("learning rate", { labelSize: 20, size: 52, values: (_, splits) => splits.map((one) => (one ? short(one) : "0")) }),
      ],
      series: [{}, { stroke: () => colour("--answer"), width: 2, points: { show: false } }],
    }, [x.map((share) => share * (steps ? steps - 1 : 1)), lr.map((share) => share * peak)], plot);
  }

  repaint() { // at once, in the colours of now
    for (const chart of [this.chart, this.schedule]) if (chart) chart.batch(() => chart.redraw(false));
    this.drawStrip();
    this.focus(null);
  }

  resized() {
    if (this.curves) this.drawCurves();
    this.drawStrip();
    if (this.data.schedule) this.drawSchedule();
  }
}

function axis(label, others) {
  const font = "12px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
  return { stroke: () => colour("--soft"), grid: { stroke: () => colour("--line"), width: 1 }, ticks: { show: false }, font, label,
    labelFont: font, ...others };
}

function isDecade(value) {
  const exponent = Math.log10(value);
  return Math.abs(exponent - Math.round(exponent)) < 1e-6;
}

function seenTicks(u, splits) { // decades; within fewer than two of them 1, 2 and 5 as well
  const isNarrow = Math.log10(u.scales.x.max / u.scales.x.min) < 2;
  return splits.map((one) => {
    const lead = Math.round(one / 10 ** Math.floor(Math.log10(one) + 1e-9));
    return isDecade(one) || (isNarrow && (lead === 2 || lead === 5)) ? one : null;
  });
}

// ---- the page

let kinds = [];

function start(before = new Map()) {
  kinds = [...document.querySelectorAll("[data-kind]")].map((section) => new Kind(section, before.get(section.getAttribute("aria-label"))));
}

function copy(button) {
  const text = button.parentElement.querySelector("code").textContent;
  const done = (said) => { button.textContent = said; setTimeout(() => { button.textContent = "Copy"; }, 1500); };
  const byHand = () => {
    const range = document.createRange();
    range.selectNodeContents(button.parentElement.querySelector("code"));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    done(document.execCommand("copy") ? "Copied" : "Selected");
  };
  if (navigator.clipboard) navigator.clipboard.writeText(text).then(() => done("Copied"), byHand);
  else byHand();
}

const resized = () => kinds.forEach((kind) => kind.resized());
let waiting = 0;
let width = document.documentElement.clientWidth;
addEventListener("resize", () => { // not where only the height changes, as on phones that hide their address bar
  if (document.documentElement.clientWidth === width) return;
  width = document.documentElement.clientWidth;
  clearTimeout(waiting);
  waiting = setTimeout(resized, 100);
});
const repaint = () => kinds.forEach((kind) => kind.repaint());
const printing = (isOn) => () => { document.documentElement.classList.toggle("printed", isOn); repaint(); };
addEventListener("beforeprint", printing(true));
addEventListener("afterprint", printing(false));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
document.addEventListener("click", (event) => {
  const button = event.target.closest && event.target.closest(".copy");
  if (button) copy(button);
});
start();

// ---- a sweep under way: the server that shows this page tells what is new

function underWay(now) {
  const said = document.querySelector("[data-live-said]"), figure = document.querySelector("[data-live-figure]");
  const names = now.running.map((run) => `${run.label || "run"} ${Math.round(100 * run.share)}%`);
  said.textContent = now.ended ? "The sweep has ended. This is its answer; report.html in its folder has it too." :
    names.length ? `${names.length} training now.` : "Under way.";
  figure.hidden = !now.running.some((run) => run.lr.length > 1);
  document.querySelector("[data-live-runs]").textContent = names.join(", ");
  if (!figure.hidden) drawUnderWay(document.querySelector("[data-live-plot]"), now.running.filter((run) => run.lr.length > 1));
}

let liveChart = null;
function drawUnderWay(plot, running) {
  const tables = running.map((run) => [run.lr, run.loss]);
  const data = tables.length > 1 ? uPlot.join(tables, tables.map((table) => table.map(() => 1))) : tables[0];
  if (liveChart && liveChart.series.length === data.length) { liveChart.setData(data); return; }
  if (liveChart) liveChart.destroy();
  liveChart = new uPlot({
    width: plot.clientWidth || 680, height: 240, legend: { show: false }, cursor: { show: false },
    scales: { x: { time: false, distr: 3, range: (_, from, to) => [from, Math.max(to, from * 1.01)] } },
    axes: [
      axis("learning rate", { labelSize: 22, size: 30, filter: seenTicks, grid: { stroke: () => colour("--line"), width: 1, filter: seenTicks },
        values: (_, splits) => splits.map((one) => (one === null ? "" : power(one))) }),
      axis("loss", { labelSize: 20, size: 52 }),
    ],
    series: [{}, ...running.map((_, k) => ({ stroke: () => colour(`--run-${k % MANY}`), width: 1, points: { show: false }, spanGaps: true }))],
  }, data, plot);
}

async function swapped() { // the page anew, with what the reader has set
  const answer = await fetch("/", { cache: "no-store" });
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const before = new Map(kinds.map((kind) => [kind.section.getAttribute("aria-label"), kind.kept()]));
  const active = document.activeElement && document.activeElement.id;
  document.getElementById("page").replaceWith(document.adoptNode(fresh.getElementById("page")));
  start(before);
  if (active && document.getElementById(active)) document.getElementById(active).focus();
  return fresh.body.dataset.live;
}

async function follow() {
  let version = document.body.dataset.live;
  for (;;) {
    try {
      const now = await (await fetch("/now", { cache: "no-store" })).json();
      if (now.changed || String(now.version) !== version) version = await swapped();
      underWay(now);
      if (now.ended) return;
    } catch {
      document.querySelector("[data-live-said]").textContent = "The command that showed this has ended; this is what it showed last.";
      document.querySelector("[data-live-figure]").hidden = true;
      return;
    }
    await new Promise((done) => setTimeout(done, 1000));
  }
}
if (document.body.dataset.live !== undefined) follow();
})();
