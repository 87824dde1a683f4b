"use strict";
// What the page shows is in `now`, and stays in the address. `show` draws everything from it.
(async () => {
const $ = id => document.getElementById(id);

// ---------------------------------------------------------------- data: see packed() in html.py
async function unpack(text) {
  const zipped = Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const all = await new Response(new Blob([zipped]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  const length = Number(new DataView(all).getBigUint64(0, true)), arrays = 8 + length;
  const TYPES = { uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, int32: Int32Array, int64: BigInt64Array };
  return JSON.parse(new TextDecoder().decode(new Uint8Array(all, 8, length)), (_, v) => {
    if (!v || typeof v !== "object" || !v.$) return v;
    const array = new TYPES[v.$[2]](all, arrays + v.$[0], v.$[1]);
    return v.$[2] === "int64" ? Array.from(array, Number) : array;
  });
}
let D;
try { D = await unpack($("data").textContent); } catch (error) {
  $("side").textContent = `This browser cannot unpack the page (${error.message}). One of 2023 or later can.`;
  return;
}
const [X0, Y0, W, H] = D.box, CELLS = W * H, FRAMES = D.edges.length - 1, FIRST = D.edges[0], LAST = D.edges[FRAMES];
const traced = D.traced.reduce((a, b) => a + b, 0);
const STEP = [[0, -1], [0, 1], [1, 0], [-1, 0]], SIDES = ["north", "south", "east", "west", "the PE", "the host"];
const many = v => v.toLocaleString("en", { maximumFractionDigits: Math.abs(v) < 10 ? 2 : Math.abs(v) < 100 ? 1 : 0 });
const cellOf = (x, y) => (y - Y0) * W + x - X0, xOf = cell => X0 + cell % W, yOf = cell => Y0 + Math.floor(cell / W);
const hue = color => `hsl(${(color * 137 + 20) % 360} 75% ${dark() ? 62 : 42}%)`;
for (const m of D.metrics) m.mean = Array.from({ length: FRAMES }, (_, f) => {
  let sum = 0;
  for (let i = f * CELLS; i < (f + 1) * CELLS; i++) sum += m.frames[i];
  return sum / 255 * m.top / traced;
});
// wavelets: cycle of each hop
const hops = D.wavelets, hopAt = new Float64Array(hops.cell.length);
for (let i = 0, t = hops.first; i < hopAt.length; i++) hopAt[i] = t += hops.later[i];
const lowest = (array, value) => { let a = 0, b = array.length; while (a < b) { const c = a + b >> 1; if (array[c] < value) a = c + 1; else b = c; } return a; };
// lanes: slices of a cell
const L = D.lanes, lanesOf = new Map();
for (let i = 0, at = 0; i < L.cells.length; at += L.counts[i++]) lanesOf.set(L.cells[i], [at, at + L.counts[i]]);
const slicesOf = cell => {
  const found = lanesOf.get(cell), out = [];
  if (found) for (let i = found[0], t = 0; i < found[1]; i++) { t += L.later[i]; out.push({ start: t, stop: t + L.length[i], name: L.names[L.name[i]], lane: L.lane[i], kind: L.kind[i] }); }
  return out;
};

// ---------------------------------------------------------------- what is shown
// from, to: cycles summed up; at: a moment in them, or null; pe: a cell; color; cause: a row of D.stalls; wait: a row of
// D.ended.waits; found: cells that have what was looked for; theme: the user's choice
const now = { metric: D.metrics.find(m => m.key === (D.ended ? "wait" : "compute")), from: FIRST, to: LAST, at: null, pe: null, color: null, cause: null, wait: null, find: "", found: null, theme: null };
let view = null, playing = null, laneView = null;
const whole = () => now.at === null && now.from === FIRST && now.to === LAST;
const frameOf = cycle => Math.max(0, Math.min(FRAMES - 1, lowest(D.edges, cycle + 1) - 1));
// [first, behind the last frame) that are shown
const window_ = () => now.at !== null ? [frameOf(now.at), frameOf(now.at) + 1] : [frameOf(now.from), frameOf(Math.max(now.from, now.to - 1)) + 1];
const cache = new Map();
// what there was, per cycle, of a metric in each cell (or link): array
function rates(m, size) {
  const [a, b] = window_(), key = `${m.key} ${whole() ? "all" : a + " " + b}`;
  if (cache.has(key)) return cache.get(key);
  const out = new Float32Array(size);
  if (whole()) for (let i = 0; i < size; i++) out[i] = m.total[i] / (LAST - FIRST) * m.factor;
  else {
    for (let f = a; f < b; f++) { const part = (D.edges[f + 1] - D.edges[f]) * m.top / 255; for (let i = 0; i < size; i++) out[i] += m.frames[f * size + i] * part; }
    const span = D.edges[b] - D.edges[a];
    for (let i = 0; i < size; i++) out[i] /= span;
  }
  if (cache.size > 40) cache.clear();
  cache.set(key, out);
  return out;
}
const most = array => { let top = 0; for (const v of array) if (v > top) top = v; return top; };
const mean = array => { let sum = 0; for (const v of array) sum += v; return sum / traced; };
// what the map colors: values of cells, their largest, unit and title. A scale of 0 to 100 for shares of time
function shown() {
  if (now.cause !== null) {
    const s = D.stalls[now.cause];
    return { values: s.per, top: most(s.per) || 1, unit: s.unit, title: causeText(s) + ", whole run" };
  }
  const m = now.metric, values = rates(m, CELLS), top = m.unit === "%" ? 100 : now.at === null ? most(values) : m.top;
  return { values, top: top || 1, unit: m.unit, title: m.title };
}
const causeText = s => s.cause + (s.color === null ? "" : `, color ${s.color}`);

// ---------------------------------------------------------------- colors of the page
const system = matchMedia("(prefers-color-scheme: dark)"), dark = () => (now.theme ?? (system.matches ? "dark" : "light")) === "dark";
const RAMPS = { light: [[233, 237, 242], [190, 214, 236], [107, 174, 214], [33, 113, 181], [8, 48, 107]], dark: [[34, 43, 53], [36, 76, 120], [38, 128, 142], [74, 184, 110], [250, 228, 80]] };
let palette, css;
function themed() {
  document.documentElement.dataset.theme = dark() ? "dark" : "light";
  const ramp = RAMPS[dark() ? "dark" : "light"];
  palette = Array.from({ length: 256 }, (_, v) => {
    const t = v / 255 * (ramp.length - 1), i = Math.min(ramp.length - 2, Math.floor(t)), f = t - i;
    return `rgb(${ramp[i].map((a, k) => Math.round(a + (ramp[i + 1][k] - a) * f))})`;
  });
  const style = getComputedStyle(document.documentElement);
  css = Object.fromEntries(["ink", "quiet", "line", "paper", "wash", "mark", "strip", "empty", "link", "bad", "task", "op", "wait"].map(n => [n, style.getPropertyValue("--" + n).trim()]));
  $("theme").textContent = dark() ? "Light" : "Dark";
  const g = $("ramp").getContext("2d");
  for (let i = 0; i < 120; i++) { g.fillStyle = palette[Math.round(i / 119 * 255)]; g.fillRect(i, 0, 1, 10); }
}
const shade = share => palette[Math.max(0, Math.min(255, Math.round(share * 255)))];

// a canvas of the size it has on the page; a context in CSS pixels
function sized(canvas) {
  const w = canvas.clientWidth, h = canvas.clientHeight, ratio = window.devicePixelRatio || 1, g = canvas.getContext("2d");
  if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(h * ratio)) { canvas.width = Math.round(w * ratio); canvas.height = Math.round(h * ratio); }
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.clearRect(0, 0, w, h);
  g.font = "11px system-ui, sans-serif";
  g.textAlign = "left";
  return [g, w, h];
}
// round cycles for an axis: at most n of them from a to b
function ticks(a, b, n) {
  const rough = Math.max(1, (b - a) / n), ten = 10 ** Math.floor(Math.log10(rough)), by = Math.max(1, [1, 2, 5, 10].find(k => k * ten >= rough) * ten), out = [];
  for (let t = Math.ceil(a / by) * by; t <= b; t += by) out.push(t);
  return out;
}

// ---------------------------------------------------------------- the map
const map = $("map");
function fit() {
  const w = map.clientWidth, h = map.clientHeight, size = Math.max(0.5, Math.min((w - 56) / W, (h - 52) / H, 110));
  view = { size, x: (w - size * W) / 2 + 8, y: 20 + (h - 52 - size * H) / 2 };
}
const middle = cell => [view.x + (cell % W + 0.5) * view.size, view.y + (Math.floor(cell / W) + 0.5) * view.size];
const middleOf = ([x, y]) => middle(cellOf(x, y));
const inBox = ([x, y]) => x >= X0 && x < X0 + W && y >= Y0 && y < Y0 + H;
function arrow(g, x, y, dx, dy, width, color) {
  const length = Math.hypot(dx, dy), ux = dx / length, uy = dy / length, head = Math.min(length * 0.6, 3 + width * 1.6);
  g.strokeStyle = g.fillStyle = color; g.lineWidth = width;
  g.beginPath(); g.moveTo(x, y); g.lineTo(x + dx - ux * head, y + dy - uy * head); g.stroke();
  g.beginPath(); g.moveTo(x + dx, y + dy);
  g.lineTo(x + dx - ux * head - uy * head * 0.55, y + dy - uy * head + ux * head * 0.55);
  g.lineTo(x + dx - ux * head + uy * head * 0.55, y + dy - uy * head - ux * head * 0.55);
  g.fill();
}
function drawMap() {
  const [g, w, h] = sized(map);
  if (!view) fit();
  const { values, top, unit, title } = shown(), size = view.size, roomy = size >= 18;
  const inset = roomy ? size * 0.17 : size > 6 ? 0.5 : 0;
  const xa = Math.max(0, Math.floor(-view.x / size)), xb = Math.min(W, Math.ceil((w - view.x) / size));
  const ya = Math.max(0, Math.floor(-view.y / size)), yb = Math.min(H, Math.ceil((h - view.y) / size));
  const each = f => { for (let y = ya; y < yb; y++) for (let x = xa; x < xb; x++) if (D.traced[y * W + x]) f(y * W + x, view.x + x * size, view.y + y * size); };
  each((cell, x, y) => {
    g.fillStyle = shade(values[cell] / top);
    g.fillRect(x + inset, y + inset, size - 2 * inset, size - 2 * inset);
    if (D.tile[cell] < 0) { g.strokeStyle = css.line; g.lineWidth = 1; g.strokeRect(x + inset, y + inset, size - 2 * inset, size - 2 * inset); }
  });
  if (now.color !== null) drawRoute(g, each, size);
  if (roomy) drawLinks(g, each, size);
  drawWavelets(g, size);
  if (now.found) each((cell, x, y) => { if (now.found.has(cell)) { g.strokeStyle = css.mark; g.lineWidth = 1.5; g.setLineDash([3, 2]); g.strokeRect(x + inset, y + inset, size - 2 * inset, size - 2 * inset); g.setLineDash([]); } });
  drawWaits(g, size);
  if (now.pe !== null) { g.strokeStyle = css.mark; g.lineWidth = 2.5; g.strokeRect(view.x + now.pe % W * size + inset / 2, view.y + Math.floor(now.pe / W) * size + inset / 2, size - inset, size - inset); }
  g.fillStyle = css.quiet;
  const by = ticks(0, Math.max(W, H), Math.max(1, Math.max(W, H) * size / 30))[1] || 1;
  g.textAlign = "center";
  for (let x = Math.ceil(X0 / by) * by; x < X0 + W; x += by) g.fillText(x, view.x + (x - X0 + 0.5) * size, Math.max(12, view.y - 5));
  g.textAlign = "right";
  for (let y = Math.ceil(Y0 / by) * by; y < Y0 + H; y += by) g.fillText(y, Math.max(22, view.x - 6), view.y + (y - Y0 + 0.5) * size + 4);
  $("scale").textContent = `0 to ${many(top)} ${unit}: ${title}${roomy ? "" : "; zoom in for links"}`;
}
// a color's route as the layout sets it: from the sides it comes from to the middle, and on
function drawRoute(g, each, size) {
  const c = D.colors.find(c => c.color === now.color);
  if (!c) return;
  g.lineCap = "round"; g.strokeStyle = g.fillStyle = hue(c.color); g.globalAlpha = 0.55; g.lineWidth = Math.max(1, size * 0.09);
  each(cell => {
    const ways = c.route[cell], [mx, my] = middle(cell);
    if (!ways) return;
    g.beginPath();
    for (let d = 0; d < 4; d++) if ((ways | ways >> 6) >> d & 1) { g.moveTo(mx, my); g.lineTo(mx + STEP[d][0] * size / 2, my + STEP[d][1] * size / 2); }
    g.stroke();
    // where wavelets enter from the PE a dot, where they leave to it a ring
    if (ways >> 4 & 1) { g.beginPath(); g.arc(mx, my, size * 0.11, 0, 7); g.fill(); }
    if (ways >> 10 & 1) { g.beginPath(); g.arc(mx, my, size * 0.2, 0, 7); g.stroke(); }
  });
  g.globalAlpha = 1; g.lineCap = "butt";
}
// links: an arrow for each that wavelets went over, as wide as its load
function drawLinks(g, each, size) {
  const c = now.color === null ? null : D.colors.find(c => c.color === now.color);
  const load = c ? c.links : null, all = c ? null : rates(D.links, 4 * CELLS), top = most(load || all) || 1;
  each(cell => {
    const [mx, my] = middle(cell);
    for (let d = 0; d < 4; d++) {
      const v = load ? load[d * CELLS + cell] : all[d * CELLS + cell];
      if (!v) continue;
      const [dx, dy] = STEP[d], off = size * 0.1, from = size * 0.35, long = size * 0.3;
      arrow(g, mx + dx * from - dy * off, my + dy * from + dx * off, dx * long, dy * long, 0.8 + v / top * size * 0.07, c ? hue(c.color) : css.link);
    }
  });
}
// wavelets on their way over a link, or into a PE
function drawWavelets(g, size) {
  if (now.at === null || size < 5) return;
  const back = Math.max(D.hop, playing ? Math.min(playing.step, 40) : 0), r = Math.max(1.5, Math.min(6, size * 0.09));
  for (let i = lowest(hopAt, now.at - back + 1e-6); i < hopAt.length && hopAt[i] <= now.at; i++) {
    if (now.color !== null && hops.color[i] !== now.color) continue;
    const [mx, my] = middle(hops.cell[i]), share = Math.min(1, (now.at - hopAt[i] + 0.5) / (D.hop + 0.5));
    g.fillStyle = hue(hops.color[i]); g.strokeStyle = css.paper; g.lineWidth = 1;
    for (let d = 0; d < 6; d++) if (hops.sides[i] >> d & 1) {
      const [dx, dy] = d < 4 ? STEP[d] : [0, 0];
      g.beginPath(); g.arc(mx + dx * share * size, my + dy * share * size, d < 4 ? r : r * (1.6 - 0.8 * share), 0, 7); g.fill(); g.stroke();
    }
  }
}
// who waits for whom
function drawWaits(g, size) {
  if (!D.ended || !D.ended.waits.length || !(whole() || now.wait !== null)) return;
  D.ended.waits.forEach((wait, i) => {
    if (now.wait !== null && now.wait !== i) return;
    g.strokeStyle = css.bad; g.lineWidth = 2;
    for (const pe of wait.pes) if (inBox(pe)) { const [x, y] = middleOf(pe); g.strokeRect(x - size * 0.42, y - size * 0.42, size * 0.84, size * 0.84); }
    wait.chain.forEach(([a, b], n) => {
      if (!inBox(a) || !inBox(b)) return;
      const [ax, ay] = middleOf(a), [bx, by] = middleOf(b), length = Math.hypot(bx - ax, by - ay), ux = (bx - ax) / length, uy = (by - ay) / length;
      // beside the straight line, so that the way back is another line
      const o = size * 0.16, s = size * 0.22;
      arrow(g, ax + ux * s - uy * o, ay + uy * s + ux * o, bx - ax - 2 * ux * s, by - ay - 2 * uy * s, Math.max(1.5, Math.min(4, size * 0.07)), css.bad);
      if (size >= 24) { g.fillStyle = css.bad; g.textAlign = "center"; g.font = "bold 12px system-ui, sans-serif"; g.fillText(n + 1, (ax + bx) / 2 - uy * o * 2.6, (ay + by) / 2 + ux * o * 2.6 + 4); g.font = "11px system-ui, sans-serif"; }
    });
  });
}

// ---------------------------------------------------------------- small maps and the strip
for (const [i, m] of D.metrics.entries()) {
  const b = document.createElement("button");
  b.type = "button"; b.setAttribute("role", "radio"); b.title = `${m.title} (key ${i + 1})`;
  b.innerHTML = '<canvas></canvas><span><b></b><i style="font-style:normal"></i></span>';
  b.querySelector("b").textContent = m.name;
  b.onclick = () => { now.metric = m; now.cause = null; show(); };
  $("small").append(b);
  m.button = b;
}
function drawSmall() {
  for (const m of D.metrics) {
    m.button.setAttribute("aria-checked", String(m === now.metric && now.cause === null));
    const values = rates(m, CELLS), top = m.unit === "%" ? 100 : most(values) || 1;
    m.button.querySelector("i").textContent = `${many(mean(values))} ${m.unit}`;
    const [g, w, h] = sized(m.button.querySelector("canvas")), n = Math.max(1, Math.ceil(Math.max(W, H) / 64)), size = Math.min(w / Math.ceil(W / n), h / Math.ceil(H / n));
    const x0 = (w - size * Math.ceil(W / n)) / 2, y0 = (h - size * Math.ceil(H / n)) / 2;
    for (let y = 0; y < H; y += n) for (let x = 0; x < W; x += n) if (D.traced[y * W + x]) { g.fillStyle = shade(values[y * W + x] / top); g.fillRect(x0 + x / n * size, y0 + y / n * size, Math.ceil(size), Math.ceil(size)); }
  }
}
const onStrip = (cycle, w) => (cycle - FIRST) / (LAST - FIRST) * w;
function drawStrip() {
  const [g, w, h] = sized($("over")), top = now.metric.unit === "%" ? 100 : most(now.metric.mean) || 1, high = h - 36;
  g.fillStyle = css.strip;
  for (let f = 0; f < FRAMES; f++) { const x = onStrip(D.edges[f], w), v = now.metric.mean[f] / top * high; g.fillRect(x, 18 + high - v, Math.max(1, onStrip(D.edges[f + 1], w) - x + 0.3), v); }
  g.strokeStyle = css.line; g.beginPath(); g.moveTo(0, h - 17.5); g.lineTo(w, h - 17.5); g.stroke();
  g.fillStyle = css.quiet;
  g.fillText(`${now.metric.name}, mean of the PEs, 0 to ${many(top)} ${now.metric.unit}`, 14, 12);
  g.textAlign = "center";
  for (const t of ticks(FIRST, LAST, w / 90)) { const x = onStrip(t, w); if (x > 20 && x < w - 20) { g.fillRect(x, h - 18, 1, 4); g.fillText(t.toLocaleString("en"), x, h - 3); } }
  if (now.from !== FIRST || now.to !== LAST) { g.globalAlpha = 0.25; g.fillStyle = css.mark; g.fillRect(onStrip(now.from, w), 18, Math.max(2, onStrip(now.to, w) - onStrip(now.from, w)), high); g.globalAlpha = 1; }
  if (now.at !== null) { g.fillStyle = css.mark; g.fillRect(onStrip(now.at, w) - 1, 14, 2, high + 4); }
}

// ---------------------------------------------------------------- the side
const add = (tag, text, parent, name) => { const e = document.createElement(tag); if (text !== undefined) e.textContent = text; if (name) e.className = name; parent.append(e); return e; };
function table(parent, heads, rows) {
  const t = add("table", undefined, parent), head = add("tr", undefined, t);
  for (const h of heads) add("th", h.replace(/^>/, ""), head, h[0] === ">" ? "n" : "");
  for (const { cells, pick, chosen } of rows) {
    const tr = add("tr", undefined, t, (pick ? "pick" : "") + (chosen ? " chosen" : ""));
    cells.forEach((c, i) => add("td", c, tr, heads[i][0] === ">" ? "n" : ""));
    if (pick) { tr.tabIndex = 0; tr.onclick = pick; tr.onkeydown = e => { if (e.key === "Enter") pick(); }; }
  }
  return t;
}
const choose = (key, value) => () => { now[key] = now[key] === value ? null : value; show(); };
function drawSide() {
  const side = $("side");
  side.replaceChildren();
  if (D.ended) ended(side);
  const rows = now.pe === null ? [] : details(side);
  stalls(side);
  if (D.colors.some(c => c.moves)) {
    add("h2", "Colors", side);
    table(side, ["", ">hops", "busiest link", ">wavelets"], D.colors.filter(c => c.moves).sort((a, b) => b.moves - a.moves).map(c => {
      let at = 0;
      for (let i = 0; i < 4 * CELLS; i++) if (c.links[i] > c.links[at]) at = i;
      const cell = at % CELLS, busiest = c.links[at] ? `${xOf(cell)},${yOf(cell)} ${SIDES[Math.floor(at / CELLS)]}` : "";
      return { cells: [`color ${c.color}${c.name ? " " + c.name : ""}${c.turns ? ", switched" : ""}`, many(c.moves), busiest, c.links[at] ? many(c.links[at]) : ""], pick: choose("color", c.color), chosen: now.color === c.color };
    }));
  }
  if (rows.length) {
    const [a, b] = laneRange();
    add("h2", `Cycles ${many(Math.floor(a))} to ${many(Math.ceil(b))}`, side);
    table(side, [">from", ">cycles", "on", "what"], rows.slice(0, 40).map(s => ({ cells: [s.start.toLocaleString("en"), many(s.stop - s.start), laneName(s.lane), (s.kind === 2 ? "waits: " : "") + s.name.join(" ").trim()], pick: () => { now.at = s.start; show(); } })));
    if (rows.length > 40) add("p", `and ${many(rows.length - 40)} more: zoom into the lanes`, side, "quiet");
  }
  if (now.pe === null) add("p", "Click a PE for its lanes, a row for its place on the map; ? shows the keys.", side, "quiet");
}
function ended(side) {
  const box = add("div", undefined, side, "ended");
  add("h2", D.ended.title, box);
  for (const line of D.ended.text) add("div", line, box);
  const list = add("ol", undefined, box);
  D.ended.waits.forEach((wait, i) => {
    const li = add("li", undefined, list, now.wait === i ? "chosen" : ""), some = wait.pes.slice(0, 3).map(p => p.join(",")).join("  ");
    add("b", `PE ${some}${wait.pes.length > 3 ? ` and ${wait.pes.length - 3} more` : ""}`, li);
    add("span", `: ${wait.text}${wait.place ? ` (${wait.place})` : ""}`, li);
    for (const line of wait.why) add("div", line, li, "quiet");
    li.tabIndex = 0; li.onclick = choose("wait", i); li.onkeydown = e => { if (e.key === "Enter") li.onclick(); };
  });
}
function stalls(side) {
  const rows = D.stalls.map((s, i) => ({ s, i })).filter(({ s }) => now.pe === null || s.per[now.pe]);
  add("h2", now.pe === null ? "Waiting, by cause" : "What it waits for, by cause", side);
  if (!rows.length) { add("p", "Nothing waits.", side, "quiet"); return; }
  table(side, ["in the whole run", ">", now.pe === null ? ">most at PE" : ">of all PEs"], rows.slice(0, 14).map(({ s, i }) => {
    let at = 0;
    for (let c = 0; c < CELLS; c++) if (s.per[c] > s.per[at]) at = c;
    const amount = now.pe === null ? s.total : s.per[now.pe];
    return { cells: [causeText(s), `${many(amount)} ${s.unit}`, now.pe === null ? `${xOf(at)},${yOf(at)}` : `${many(100 * amount / s.total)} %`], pick: choose("cause", i), chosen: now.cause === i };
  }));
}
let slices = [];
function details(side) {
  const cell = now.pe, tile = D.tile[cell];
  add("h2", `PE ${xOf(cell)},${yOf(cell)}`, side);
  add("div", (tile < 0 ? "no code" : D.tiles[tile]) + ": " + D.metrics.map(m => `${m.name.toLowerCase()} ${many(rates(m, CELLS)[cell])} ${m.unit}`).join(", "), side, "quiet");
  slices = slicesOf(cell);
  if (!slices.length) {
    const other = L.cells.find(c => D.tile[c] === tile);
    add("p", L.all || other === undefined ? "Its threads did nothing that was recorded." : `The page has the lanes of some PEs only; ${xOf(other)},${yOf(other)} runs the same code. --trace-pes records fewer PEs in full.`, side, "quiet");
    return [];
  }
  const canvas = add("canvas", undefined, side); canvas.id = "lanes";
  const keys = add("div", undefined, side, "quiet");
  for (const [kind, text] of [["task", "task"], ["op", "vector operation"], ["wait", "waits"]]) { add("span", undefined, keys, "key").style.background = css[kind]; add("span", text, keys); }
  lanes(canvas);
  const [a, b] = laneRange();
  return slices.filter(s => s.start < b && s.stop > a);
}
const laneName = lane => lane ? `UT${lane - 1}` : "main";
const laneRange = () => laneView || [now.from, now.to];
function lanes(canvas) {
  const names = [...new Set(slices.map(s => s.lane))].sort((p, q) => p - q), row = 26, head = 42, low = 18;
  canvas.style.height = `${names.length * row + low + 6}px`;
  const [a, b] = laneRange(), on = t => head + (t - a) / (b - a) * (canvas.clientWidth - head);
  let drawn = [];
  const draw = () => {
    const [g, w, h] = sized(canvas);
    drawn = [];
    g.fillStyle = css.quiet; g.textAlign = "center";
    for (const t of ticks(a, b, (w - head) / 70)) { const x = on(t); g.fillStyle = css.line; g.fillRect(x, 0, 1, h - low); g.fillStyle = css.quiet; if (x > head + 14 && x < w - 20) g.fillText(t.toLocaleString("en"), x, h - 5); }
    g.save(); g.beginPath(); g.rect(head, 0, w - head, h); g.clip(); g.textAlign = "left";
    for (const kind of [0, 1, 2]) for (const s of slices) {
      if (s.kind !== kind || s.stop < a || s.start > b) continue;
      const y = 4 + names.indexOf(s.lane) * row + (kind ? 5 : 0), x = on(s.start), wide = Math.max(1, on(s.stop) - x), high = row - 6 - (kind ? 10 : 0);
      g.fillStyle = css[["task", "op", "wait"][kind]];
      if (kind === 2) g.globalAlpha = 0.85;
      g.fillRect(x, y, wide, high);
      g.globalAlpha = 1;
      if (wide > 46 && high > 9) { g.save(); g.beginPath(); g.rect(x, y, wide, high); g.clip(); g.fillStyle = "#fff"; g.fillText(s.name[0], Math.max(x, head) + 3, y + (kind ? 9 : 10)); g.restore(); }
      drawn.push([x, y, wide, high, s]);
    }
    g.restore();
    g.fillStyle = css.ink; g.textAlign = "left";
    names.forEach((lane, i) => g.fillText(laneName(lane), 5, 4 + i * row + 14));
    if (now.at !== null && now.at >= a && now.at <= b) { g.fillStyle = css.mark; g.fillRect(on(now.at) - 1, 0, 2, h - low); }
  };
  draw();
  const hit = e => { const r = canvas.getBoundingClientRect(), x = e.clientX - r.left, y = e.clientY - r.top; return drawn.findLast(([bx, by, w, h]) => x >= bx - 1 && x <= bx + w + 1 && y >= by && y <= by + h)?.[4]; };
  const timeAt = e => a + (e.clientX - canvas.getBoundingClientRect().left - head) / (canvas.clientWidth - head) * (b - a);
  let drag = null;
  canvas.onwheel = e => { e.preventDefault(); const t = timeAt(e), f = Math.exp(e.deltaY * 0.002), wide = Math.min(LAST - FIRST, Math.max(8, (b - a) * f)), share = (t - a) / (b - a); laneTo(t - wide * share, wide); };
  canvas.onpointerdown = e => { drag = { x: e.clientX, a, moved: false }; canvas.setPointerCapture(e.pointerId); };
  canvas.onpointermove = e => {
    if (drag) { if (Math.abs(e.clientX - drag.x) > 4) drag.moved = true; if (drag.moved) { const by = (drag.x - e.clientX) / (canvas.clientWidth - head) * (b - a); drag.to = drag.a + by; } return; }
    const s = hit(e);
    tip(e, s && `${s.kind === 2 ? "waits: " : ""}${s.name[0]}\n${s.name[1] ? s.name[1] + "\n" : ""}cycles ${s.start} to ${s.stop} (${s.stop - s.start})`);
  };
  canvas.onpointerup = e => { const d = drag; drag = null; if (d && d.moved) laneTo(d.to, b - a); else { now.at = Math.max(FIRST, Math.min(LAST - 1, Math.floor(timeAt(e)))); show(); } };
  canvas.onpointerleave = () => tip();
}
function laneTo(from, wide) { const a = Math.max(FIRST, Math.min(LAST - wide, from)); laneView = [a, a + wide]; drawSide(); remember(); }
function tip(e, text) {
  const t = $("tip");
  t.hidden = !text;
  if (!text) return;
  t.textContent = text;
  t.style.left = `${Math.max(4, Math.min(e.clientX + 12, innerWidth - t.offsetWidth - 8))}px`;
  t.style.top = `${Math.min(e.clientY + 14, innerHeight - t.offsetHeight - 8)}px`;
}

// ---------------------------------------------------------------- all of it, and the address
function show(side = true) {
  const [a, b] = window_();
  $("cycle").textContent = now.at !== null ? `cycle ${Math.floor(now.at).toLocaleString("en")}` : `${whole() ? "whole run, " : ""}cycles ${D.edges[a].toLocaleString("en")} to ${D.edges[b].toLocaleString("en")}`;
  $("whole").disabled = whole();
  $("color").value = now.color ?? "";
  drawSmall(); drawMap(); drawStrip();
  if (side) { drawSide(); remember(); }
}
function remember() {
  const parts = { metric: now.metric.key };
  if (now.from !== FIRST || now.to !== LAST) parts.cycles = `${now.from}:${now.to}`;
  if (now.at !== null) parts.at = Math.floor(now.at);
  if (now.pe !== null) parts.pe = `${xOf(now.pe)},${yOf(now.pe)}`;
  if (laneView) parts.lanes = laneView.map(Math.round).join(":");
  for (const key of ["color", "cause", "wait"]) if (now[key] !== null) parts[key] = now[key];
  if (now.theme) parts.theme = now.theme;
  if (now.find) parts.find = encodeURIComponent(now.find);
  try { history.replaceState(null, "", "#" + Object.entries(parts).map(p => p.join("=")).join("&")); } catch { /* a page without an address, in a notebook */ }
}
function recall() {
  for (const part of location.hash.slice(1).split("&")) {
    const [key, value = ""] = part.split("="), range = value.split(":").map(Number), within = (n, list) => n >= 0 && n < list.length;
    if (key === "metric") now.metric = D.metrics.find(m => m.key === value) || now.metric;
    if (key === "cycles" && range[0] >= FIRST && range[1] > range[0] && range[1] <= LAST) [now.from, now.to] = range;
    if (key === "at" && +value >= FIRST && +value < LAST) now.at = +value;
    if (key === "lanes" && range[0] >= FIRST && range[1] > range[0] && range[1] <= LAST) laneView = range;
    if (key === "pe" && /^\d+,\d+$/.test(value) && inBox(value.split(",").map(Number))) now.pe = cellOf(...value.split(",").map(Number));
    if (key === "color" && D.colors.some(c => c.color === +value)) now.color = +value;
    if (key === "cause" && value && within(+value, D.stalls)) now.cause = +value;
    if (key === "wait" && value && D.ended && within(+value, D.ended.waits)) now.wait = +value;
    if (key === "theme" && value in RAMPS) now.theme = value;
    if (key === "find") { $("text").value = decodeURIComponent(value); find($("text").value); }
  }
}

// ---------------------------------------------------------------- find
// "3,4": a PE; "color 3"; else PEs whose code, tasks, operations or lines have the text in their names
function find(text) {
  now.find = text.trim(); now.found = null;
  const place = /^(?:pe\s*)?\(?(\d+)\s*,\s*(\d+)\)?$/i.exec(now.find), color = /^c(?:olor)?\s*(\d+)$/i.exec(now.find);
  $("text").setCustomValidity("");
  if (!now.find) return;
  if (place && inBox([+place[1], +place[2]])) { now.pe = cellOf(+place[1], +place[2]); return; }
  if (color && D.colors.some(c => c.color === +color[1])) { now.color = +color[1]; return; }
  const low = now.find.toLowerCase(), names = new Set(L.names.flatMap((n, i) => n.join(" ").toLowerCase().includes(low) ? [i] : []));
  const tiles = new Set(D.tiles.flatMap((t, i) => t.toLowerCase().includes(low) ? [i] : []));
  now.found = new Set();
  for (let c = 0; c < CELLS; c++) if (tiles.has(D.tile[c])) now.found.add(c);
  for (const [cell, [a, b]] of lanesOf) for (let i = a; i < b && !now.found.has(cell); i++) if (names.has(L.name[i])) now.found.add(cell);
  if (now.found.size) { if (now.pe === null || !now.found.has(now.pe)) now.pe = Math.min(...now.found); }
  else { now.found = null; $("text").setCustomValidity("nothing here has this name"); $("text").reportValidity(); }
}
$("find").onsubmit = e => { e.preventDefault(); find($("text").value); show(); };
$("text").oninput = () => { $("text").setCustomValidity(""); if (!$("text").value) { find(""); show(); } };
for (const hint of new Set([...L.names.filter(n => n[1]).map(n => n.join(" ")), ...D.tiles, ...D.colors.map(c => `color ${c.color}`)].slice(0, 200))) $("hints").append(new Option(hint));

// ---------------------------------------------------------------- controls
$("about").textContent = `${D.program.split(/[\\/]/).slice(-2).join("/")} | ${D.profile} | ${D.size[0]} x ${D.size[1]} PEs` + (traced < D.size[0] * D.size[1] ? `, recorded: x ${X0} to ${X0 + W - 1}, y ${Y0} to ${Y0 + H - 1}` : "") +
  ` | ${(LAST - FIRST).toLocaleString("en")} cycles` + (D.full === null ? "" : ` | recording ended at cycle ${D.full.toLocaleString("en")}: limit reached`) +
  (hops.cut === null ? "" : ` | wavelets to be seen moving up to cycle ${hops.cut.toLocaleString("en")}`);
$("color").add(new Option("all colors", ""));
for (const c of D.colors) $("color").add(new Option(`color ${c.color}${c.name ? " " + c.name : ""} (${many(c.moves)} hops)`, c.color));
$("color").onchange = e => { now.color = e.target.value === "" ? null : +e.target.value; show(); };
for (const [text, speed] of [["in 12 seconds", 0], ["1 cycle a second", 1], ["5 a second", 5], ["20 a second", 20], ["100 a second", 100], ["1,000 a second", 1000]]) $("speed").add(new Option(text, speed));
function play(start = !playing) {
  if (playing) cancelAnimationFrame(playing.id);
  playing = null;
  $("play").textContent = start ? "Pause" : "Play";
  if (!start) { show(); return; }
  if (now.at === null || now.at >= now.to - 1) now.at = now.from;
  playing = { last: null, step: 0, id: requestAnimationFrame(tick) };
}
function tick(time) {
  if (!playing) return;
  const speed = +$("speed").value || (now.to - now.from) / 12;
  playing.step = playing.last === null ? 0 : Math.min(0.2, (time - playing.last) / 1000) * speed;
  playing.last = time;
  now.at += playing.step;
  if (now.at >= now.to - 1) { now.at = now.to - 1; play(false); return; }
  show(false);
  const canvas = $("lanes");
  if (canvas) lanes(canvas);
  playing.id = requestAnimationFrame(tick);
}
$("play").onclick = () => play();
$("whole").onclick = () => toWhole();
function toWhole() { play(false); Object.assign(now, { from: FIRST, to: LAST, at: null }); laneView = null; show(); }
$("fit").onclick = () => { fit(); show(false); };
$("theme").onclick = () => { now.theme = dark() ? "light" : "dark"; themed(); show(); };
$("help").onclick = () => $("keys").showModal();
function step(by) {
  if (now.at === null) now.at = by > 0 ? now.from : now.to - 1;
  else now.at += by;
  now.at = Math.max(FIRST, Math.min(LAST - 1, Math.round(now.at)));
  show();
}
function walk(dx, dy) {
  const from = now.pe ?? 0, x = Math.max(0, Math.min(W - 1, from % W + (now.pe === null ? 0 : dx))), y = Math.max(0, Math.min(H - 1, Math.floor(from / W) + (now.pe === null ? 0 : dy)));
  if (D.traced[y * W + x]) { now.pe = y * W + x; show(); }
}
let brush = null;
const stripCycle = e => { const r = $("over").getBoundingClientRect(); return Math.max(FIRST, Math.min(LAST, Math.round(FIRST + (e.clientX - r.left) / r.width * (LAST - FIRST)))); };
$("over").onpointerdown = e => { brush = { x: e.clientX, cycle: stripCycle(e), moved: false }; $("over").setPointerCapture(e.pointerId); };
$("over").onpointermove = e => {
  if (!brush) return;
  if (Math.abs(e.clientX - brush.x) > 5) brush.moved = true;
  if (brush.moved) { const c = stripCycle(e); now.at = null; now.from = Math.min(c, brush.cycle); now.to = Math.max(c, brush.cycle, now.from + 1); laneView = null; show(false); }
};
$("over").onpointerup = () => { if (brush && !brush.moved) { now.at = Math.min(LAST - 1, brush.cycle); if (now.at < now.from || now.at >= now.to) [now.from, now.to] = [FIRST, LAST]; } brush = null; show(); };
$("over").ondblclick = () => toWhole();
const at = e => { const r = map.getBoundingClientRect(), x = Math.floor((e.clientX - r.left - view.x) / view.size), y = Math.floor((e.clientY - r.top - view.y) / view.size); return x >= 0 && x < W && y >= 0 && y < H && D.traced[y * W + x] ? y * W + x : null; };
// one finger or the mouse moves the map, two fingers zoom
const fingers = new Map();
let drag = null;
map.onpointerdown = e => { fingers.set(e.pointerId, e); map.setPointerCapture(e.pointerId); drag = { x: e.clientX, y: e.clientY, moved: fingers.size > 1 }; tip(); };
map.onpointermove = e => {
  if (!fingers.has(e.pointerId)) {
    const cell = at(e), s = shown();
    tip(e, cell === null ? "" : `PE ${xOf(cell)},${yOf(cell)}: ${many(s.values[cell])} ${s.unit}\n${D.tile[cell] < 0 ? "no code" : D.tiles[D.tile[cell]]}${linksText(cell)}`);
    return;
  }
  const before = [...fingers.values()];
  fingers.set(e.pointerId, e);
  const after = [...fingers.values()];
  if (after.length === 2) {
    const far = ([p, q]) => Math.hypot(p.clientX - q.clientX, p.clientY - q.clientY), r = map.getBoundingClientRect();
    zoom(far(after) / (far(before) || 1), (after[0].clientX + after[1].clientX) / 2 - r.left, (after[0].clientY + after[1].clientY) / 2 - r.top);
  } else if (drag && (drag.moved || Math.abs(e.clientX - drag.x) + Math.abs(e.clientY - drag.y) > 5)) {
    view.x += e.clientX - drag.x; view.y += e.clientY - drag.y; drag = { x: e.clientX, y: e.clientY, moved: true }; drawMap();
  }
};
const linksText = cell => {
  const load = rates(D.links, 4 * CELLS), text = [0, 1, 2, 3].filter(d => load[d * CELLS + cell]).map(d => `${SIDES[d]} ${many(load[d * CELLS + cell])}`).join(", ");
  return text ? `\nwavelets a cycle to ${text}` : "";
};
map.onpointerup = map.onpointercancel = e => { const click = fingers.size === 1 && drag && !drag.moved && e.type === "pointerup"; fingers.delete(e.pointerId); if (click) { now.pe = at(e); show(); } if (!fingers.size) drag = null; };
map.onpointerleave = () => tip();
map.onwheel = e => { e.preventDefault(); const r = map.getBoundingClientRect(); zoom(Math.exp(-e.deltaY * 0.0015), e.clientX - r.left, e.clientY - r.top); };
function zoom(f, x = map.clientWidth / 2, y = map.clientHeight / 2) {
  const size = Math.max(0.3, Math.min(400, view.size * f)), k = size / view.size;
  view = { size, x: x - (x - view.x) * k, y: y - (y - view.y) * k };
  drawMap();
}
document.onkeydown = e => {
  if (/^(INPUT|SELECT)$/.test(e.target.tagName) || $("keys").open || e.ctrlKey || e.metaKey) return;
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[e.key];
  const frame = Math.max(1, Math.round((now.to - now.from) / 200));
  if (arrows && e.shiftKey) walk(...arrows);
  else if (arrows && arrows[0]) step(arrows[0] * (e.altKey ? 1 : frame));
  else if (e.key === "Home") toWhole();
  else if (e.key === " " && e.target.tagName !== "BUTTON") play();
  else if (e.key >= "1" && e.key <= String(D.metrics.length)) D.metrics[+e.key - 1].button.onclick();
  else if (e.key === "c") { const all = [null, ...D.colors.filter(c => c.moves).map(c => c.color)]; now.color = all[(all.indexOf(now.color) + 1) % all.length]; show(); }
  else if (e.key === "+" || e.key === "=") zoom(1.25);
  else if (e.key === "-") zoom(0.8);
  else if (e.key === "0") { fit(); drawMap(); }
  else if (e.key === "/") $("text").focus();
  else if (e.key === "?") $("keys").showModal();
  else if (e.key === "Escape") { Object.assign(now, { pe: null, color: null, cause: null, wait: null, found: null, find: "" }); $("text").value = ""; show(); }
  else return;
  e.preventDefault();
};
window.onresize = () => { fit(); show(); };
window.onhashchange = () => { recall(); themed(); show(); };
system.onchange = () => { themed(); show(); };
recall();
themed();
show();
document.body.dataset.ready = "yes";
})();
