// The panel of timelines: every row has the same time axis; one pointer, one zoom, one chosen frame for all of them.

const COUNT_HEIGHT = 112;
const NUMBER_HEIGHT = 74;
const NUMBERS_SHOWN = 40;
const rows = []; // {draw(width), say(line), restyle()}
const panel = byId('timeline');
const lines = { hover: el('div', { class: 'line hover', hidden: true }), chosen: el('div', { class: 'line chosen', hidden: true }), selection: el('div', { class: 'selection', hidden: true }) };
let axis = null;

// When the picture of a line gives way to the next one.
function lineEnd(line) {
  const times = DATA.frames.time_s;
  if (line + 1 < times.length) return times[line + 1];
  return times[line] + (line ? times[line] - times[line - 1] : 0.04);
}

function fullView() {
  const times = DATA.frames.time_s;
  return times.length ? [times[0], Math.max(lineEnd(times.length - 1), times[0] + 1e-3)] : [0, 1];
}

function drawTimelines() {
  if (!lineCount()) {
    byId('timelines').replaceChildren(byId('timelines').firstElementChild, empty('The results file has no lines.'));
    return;
  }
  state.view = fullView();
  addAxis();
  for (const boxes of DATA.boxes) addCounts(boxes);
  DATA.numbers.slice(0, NUMBERS_SHOWN).forEach(addNumber);
  for (const flag of DATA.flags) addSpans(flag.path, ['flag']);
  const reported = [...new Set(DATA.spans.filter((s) => s[1] !== 'flag').map((s) => s[0]))];
  for (const path of reported) addSpans(path, ['text', 'event']);
  if (DATA.failures.length) addFailures();
  for (const boxes of DATA.boxes) if (boxes.has_ids) addLifelines(boxes);
  if (DATA.numbers.length > NUMBERS_SHOWN) addMore();
  panel.append(lines.selection, lines.hover, lines.chosen);
  listen();
  const redraw = throttled(drawRows);
  new ResizeObserver(redraw).observe(panel);
  on('view', redraw);
  on('thresholds', throttled(refilter));
  on('line', throttled(() => { placeLines(); sayAll(); }));
  on('theme', throttled(() => { for (const row of rows) row.restyle?.(); drawRows(); }));
  drawRows();
}

function addMore() {
  const hidden = DATA.numbers.slice(NUMBERS_SHOWN);
  const button = el('button', { class: 'quiet more', type: 'button' }, `Show ${plural(hidden.length, 'more number')}`);
  button.addEventListener('click', () => { button.remove(); hidden.forEach(addNumber); panel.append(lines.selection, lines.hover, lines.chosen); drawRows(); });
  panel.after(button);
}

const plotWidth = () => axis.plot.clientWidth;

function drawRows() {
  const width = plotWidth();
  if (!width) return;
  drawAxis(width);
  for (const row of rows) row.draw(width);
  placeLines();
  sayAll();
  const [from, to] = fullView();
  byId('zoom-out').hidden = state.view[0] <= from && state.view[1] >= to;
}

// Only what depends on the confidence is drawn anew.
function refilter() {
  for (const row of rows) {
    if (!row.refilter) continue;
    row.refilter();
    row.draw(plotWidth());
  }
  sayAll();
}

function sayAll() {
  const line = state.hover >= 0 ? state.hover : state.line;
  for (const row of rows) row.say?.(line);
  axis.label.textContent = `${clock(DATA.frames.time_s[line])} · frame ${count(DATA.frames.index[line])}`;
}

function placeLines() {
  const put = (node, line) => {
    const time = line >= 0 ? DATA.frames.time_s[line] : NaN;
    const visible = time >= state.view[0] && time <= state.view[1];
    node.hidden = !visible;
    if (visible) node.style.left = `${axis.plot.offsetLeft + timeToX(time, plotWidth())}px`;
  };
  put(lines.hover, state.hover);
  put(lines.chosen, state.line);
}

// -- rows ------------------------------------------------------------------------------------------------------------------

function addRow(kind, name, ...label) {
  const plot = el('div', { class: 'plot' });
  const labels = el('div', { class: 'label' }, el('div', { class: 'name', title: name }, breakable(name)), ...label);
  panel.append(el('div', { class: `row ${kind}` }, labels, plot));
  return { plot, label: labels };
}

function addAxis() {
  const made = addRow('axis', '');
  const canvas = el('canvas');
  made.plot.append(canvas);
  axis = { plot: made.plot, label: made.label.firstChild, canvas };
}

const STEPS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400];

function drawAxis(width) {
  const pen = sharpCanvas(axis.canvas, width, 30);
  const [from, to] = state.view;
  const step = STEPS.find((s) => (s / (to - from)) * (width - LEFT - RIGHT) >= 78) ?? STEPS[STEPS.length - 1];
  const digits = step >= 1 ? 0 : step >= 0.1 ? 1 : step >= 0.01 ? 2 : 3;
  pen.font = '11px system-ui, sans-serif';
  pen.textBaseline = 'middle';
  pen.textAlign = 'center';
  for (let n = Math.ceil(from / step - 1e-9); n * step <= to + 1e-9; n++) {
    const x = timeToX(n * step, width);
    pen.fillStyle = palette['ink-2'];
    const text = clock(n * step, digits);
    const half = pen.measureText(text).width / 2;
    if (x + half <= width) pen.fillText(text, x, 13);
    pen.fillStyle = palette.line;
    pen.fillRect(Math.round(x), 25, 1, 5);
  }
  pen.fillStyle = palette.accent;
  for (const picture of DATA.pictures) {
    const x = timeToX(DATA.frames.time_s[picture.line], width);
    if (x < LEFT || x > width - RIGHT) continue;
    pen.beginPath();
    pen.moveTo(x - 3, 24); pen.lineTo(x + 3, 24); pen.lineTo(x, 29);
    pen.fill();
  }
}

function addCounts(boxes) {
  const legend = el('div', { class: 'legend' });
  const row = addRow('', boxes.path, legend);
  let counts = countSeries(boxes);
  const values = counts.names.map(() => el('span'));
  const total = el('span');
  counts.names.forEach((name, i) => legend.append(el('span', { title: name }, el('i', { class: 'dot', key: colourName(counts.ranks[i]) }), name), values[i]));
  if (counts.names.length > 1) legend.append(el('span', {}, 'all'), total);
  const plot = chart(row.plot, COUNT_HEIGHT, () => counts.series, counts.ranks, true);
  rows.push({
    draw: plot.draw,
    restyle: plot.restyle,
    refilter: () => { counts = countSeries(boxes); },
    say: (line) => {
      let sum = 0;
      counts.series.forEach((s, i) => { sum += s[line]; values[i].textContent = number(s[line]); });
      total.textContent = number(sum);
    },
  });
}

function addNumber(entry) {
  const { path, values } = entry;
  let low = Infinity;
  let high = -Infinity;
  let sum = 0;
  let n = 0;
  for (const value of values) {
    if (Number.isNaN(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
    sum += value;
    n++;
  }
  const now = el('div', { class: 'now' });
  const row = addRow('', path, now, el('div', { class: 'range' }, n ? `${short(low)} … ${short(high)}, mean ${short(sum / n)}` : 'no values'));
  const plot = chart(row.plot, NUMBER_HEIGHT, () => [values], [0], values.every((value) => Number.isNaN(value) || (Number.isInteger(value) && value >= 0)));
  rows.push({ draw: plot.draw, restyle: plot.restyle, say: (line) => { now.textContent = number(values[line]); } });
}

function addSpans(path, kinds) {
  const items = DATA.spans.filter((s) => s[0] === path && kinds.includes(s[1])).map((s) => ({ start: s[3], end: s[4], label: s[1] === 'flag' ? '' : s[2], rank: s[1] === 'flag' ? 0 : 2 }));
  laneRow(path, items, packed(items), 15, items.length ? plural(items.length, 'time') : 'never');
}

function addFailures() {
  const items = DATA.failures.map((f) => ({ start: DATA.frames.time_s[f.line], end: lineEnd(f.line), bad: true, label: '', lane: 0, name: f.node }));
  laneRow('failed frames', items, 1, 15, count(failedCount()));
}

function laneRow(name, items, laneCount, laneHeight, note) {
  const now = el('span', { class: 'soft num' }, note);
  const row = addRow('lane', name, now);
  const canvas = el('canvas');
  row.plot.append(canvas);
  rows.push({ draw: (width) => drawLanes(canvas, width, items, laneCount > 12 ? 6 : laneHeight, Math.min(laneCount, 60)) });
}

const OWN_LANE = 40; // up to this many tracks have a lane of their own, with the id beside it

function addLifelines(boxes) {
  const note = el('div', { class: 'range' });
  const now = el('div', { class: 'now' });
  const row = addRow('lane tall', `${boxes.path}: lives of ids`, note, now);
  const canvas = el('canvas');
  row.plot.append(canvas);
  let tracks;
  let laneCount;
  let laneHeight;
  const arrange = () => {
    tracks = lifelines(boxes, lineEnd);
    const own = tracks.length <= OWN_LANE;
    if (own) tracks.forEach((track, lane) => { track.lane = lane; track.gutter = String(track.id); });
    else tracks.forEach((track) => { track.label = String(track.id); });
    laneCount = own ? Math.max(1, tracks.length) : packed(tracks);
    laneHeight = own ? 13 : Math.max(3, Math.min(14, Math.floor(520 / laneCount)));
    note.textContent = own ? plural(tracks.length, 'id') : `${plural(tracks.length, 'id')}, packed`;
  };
  arrange();
  canvas.addEventListener('pointermove', (event) => {
    const box = canvas.getBoundingClientRect();
    const time = xToTime(event.clientX);
    const lane = Math.floor((event.clientY - box.top - 4) / laneHeight);
    const hit = tracks.find((t) => t.lane === lane && t.start <= time && t.end >= time);
    now.textContent = hit ? `id ${hit.id} ${hit.name}, ${clock(hit.start, 1)} to ${clock(hit.end, 1)}` : '';
  });
  canvas.addEventListener('pointerleave', () => { now.textContent = ''; });
  rows.push({ draw: (width) => drawLanes(canvas, width, tracks, laneHeight, laneCount), refilter: arrange });
}

// -- charts ----------------------------------------------------------------------------------------------------------------

// The lines in view, with at most two points per pixel: the lowest and the highest value in it, in the order they came.
function thinned(series, width) {
  const times = DATA.frames.time_s;
  const first = Math.max(0, firstAtLeast(times, state.view[0]) - 1);
  const last = Math.min(times.length - 1, firstAtLeast(times, state.view[1]));
  const n = last - first + 1;
  const blank = (value) => (Number.isNaN(value) ? null : value);
  if (n <= 2 * width) {
    return [Array.from(times.subarray(first, last + 1)), ...series.map((s) => Array.from(s.subarray(first, last + 1), blank))];
  }
  const buckets = Math.max(1, Math.floor(width));
  const x = [];
  const ys = series.map(() => []);
  for (let bucket = 0; bucket < buckets; bucket++) {
    const from = first + Math.floor((bucket * n) / buckets);
    const to = first + Math.floor(((bucket + 1) * n) / buckets);
    if (to <= from) continue;
    x.push(times[from], times[to - 1]);
    series.forEach((values, s) => {
      let low = -1;
      let high = -1;
      for (let i = from; i < to; i++) {
        const value = values[i];
        if (Number.isNaN(value)) continue;
        if (low < 0 || value < values[low]) low = i;
        if (high < 0 || value > values[high]) high = i;
      }
      if (low < 0) ys[s].push(null, null);
      else if (low <= high) ys[s].push(values[low], values[high]);
      else ys[s].push(values[high], values[low]);
    });
  }
  return [x, ...ys];
}

function chart(holder, height, getSeries, ranks, isCount) {
  const padded = (_, low, high) => {
    if (low === null || high === null || low === undefined) return [0, 1];
    if (isCount) return [0, Math.max(1, high) * 1.12];
    const room = (high - low) * 0.12 || Math.max(Math.abs(high) * 0.1, 1e-3);
    return [low >= 0 && low - room < 0 ? 0 : low - room, high + room];
  };
  let sparse = false; // few enough lines to show each as a point
  const options = {
    width: 300, height, padding: [7, RIGHT, 7, 0], cursor: { show: false }, legend: { show: false },
    scales: { x: { time: false, range: () => state.view }, y: { range: padded } },
    axes: [
      { show: false },
      { size: LEFT, gap: 6, space: 22, font: '11px system-ui, sans-serif', stroke: () => palette['ink-3'], ticks: { show: false },
        grid: { stroke: () => palette.line, width: 1 }, incrs: isCount ? [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 10000] : undefined,
        values: (_, splits) => splits.map((v) => (Math.abs(v) >= 1e5 || (v !== 0 && Math.abs(v) < 1e-3) ? v.toExponential(0) : String(+v.toPrecision(4))).replace('-', '−')) },
    ],
    series: [{}, ...ranks.map((rank) => ({ stroke: () => colour(rank), width: 1.4, points: { show: () => sparse, size: 4 }, paths: isCount ? uPlot.paths.stepped({ align: 1 }) : undefined }))],
  };
  const plot = new uPlot(options, [[], ...ranks.map(() => [])], holder);
  return {
    draw: (width) => {
      const data = thinned(getSeries(), width - LEFT - RIGHT);
      sparse = data[0].length <= 60;
      plot.batch(() => {
        if (plot.width !== width) plot.setSize({ width, height });
        plot.setData(data, true);
      });
    },
    restyle: () => plot.redraw(false, true),
  };
}

// -- pointer -----------------------------------------------------------------------------------------------------------------

function xToTime(clientX) {
  const box = axis.plot.getBoundingClientRect();
  const share = (clientX - box.left - LEFT) / (box.width - LEFT - RIGHT);
  return state.view[0] + Math.max(0, Math.min(1, share)) * (state.view[1] - state.view[0]);
}

function listen() {
  let from = null;
  const overPlot = (event) => event.clientX >= axis.plot.getBoundingClientRect().left;
  const showSelection = (a, b) => {
    const left = timeToX(Math.min(a, b), plotWidth());
    lines.selection.hidden = false;
    lines.selection.style.left = `${axis.plot.offsetLeft + left}px`;
    lines.selection.style.width = `${timeToX(Math.max(a, b), plotWidth()) - left}px`;
  };
  const hover = throttled(() => { placeLines(); sayAll(); });
  panel.addEventListener('pointerdown', (event) => {
    if (event.button === 0 && overPlot(event)) from = { x: event.clientX, time: xToTime(event.clientX), touch: event.pointerType === 'touch' };
  });
  panel.addEventListener('pointermove', (event) => {
    state.hover = overPlot(event) ? lineAt(xToTime(event.clientX)) : -1;
    if (from && !from.touch && Math.abs(event.clientX - from.x) > 4) showSelection(from.time, xToTime(event.clientX));
    hover();
  });
  window.addEventListener('pointerup', (event) => {
    if (!from) return;
    const start = from;
    from = null;
    lines.selection.hidden = true;
    const time = xToTime(event.clientX);
    if (Math.abs(event.clientX - start.x) <= 4 || start.touch) { choose(lineAt(time)); return; }
    if (Math.abs(time - start.time) >= shortestView()) zoom([Math.min(time, start.time), Math.max(time, start.time)]);
  });
  window.addEventListener('pointercancel', () => { from = null; lines.selection.hidden = true; });
  panel.addEventListener('pointerleave', () => { state.hover = -1; hover(); });
  panel.addEventListener('dblclick', () => zoom(fullView()));
  byId('zoom-out').addEventListener('click', () => zoom(fullView()));
  for (const [name, value] of [['tabindex', '0'], ['role', 'group'], ['aria-label', 'Timelines; arrows step, plus and minus zoom, Escape shows all']]) panel.setAttribute(name, value);
  panel.addEventListener('keydown', byKey);
}

// What pointing and dragging do, around the chosen frame.
function byKey(event) {
  const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
  const factor = { '+': 0.5, '=': 0.5, '-': 2 }[event.key];
  if (event.target !== panel || event.ctrlKey || event.metaKey || event.altKey || !(step || factor || event.key === 'Escape')) return;
  event.preventDefault();
  if (step) choose(state.line + step);
  else if (factor) zoomAround(DATA.frames.time_s[state.line], factor);
  else zoom(fullView());
}

const shortestView = () => Math.min(4 * (lineEnd(0) - DATA.frames.time_s[0]), 1);

function zoomAround(time, factor) {
  const [first, last] = fullView();
  const length = Math.max(Math.min(shortestView(), last - first), Math.min(last - first, (state.view[1] - state.view[0]) * factor));
  const from = Math.max(first, Math.min(last - length, time - length / 2));
  zoom([from, from + length]);
}

function zoom(view) {
  state.view = view;
  emit('view');
}
