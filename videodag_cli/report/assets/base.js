// What everything else uses, here and on the page of the service: the data, elements made of text, formats, colours, and who is told when something changes.

let DATA = null; // what `take` was given
const TYPES = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, i2: Int16Array, i4: Int32Array, f4: Float32Array, f8: Float64Array };

const byId = (id) => document.getElementById(id);

// An element. Children are elements or text; text from results only ever becomes a text node.
function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === 'class') node.className = value;
    else if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (name === 'key') node.style.setProperty('--key', value);
    else if (name === 'width%') node.style.width = `${value}%`;
    else if (name in node && name !== 'list') node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const fill = (node, ...children) => { node.replaceChildren(...children.flat().filter(Boolean)); return node; };

// Everything a page shows: `data` with the places of its columns, and `block`, the columns, compressed and in base64.
async function take(data, block) {
  DATA = data;
  const text = atob(block);
  const packed = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) packed[i] = text.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate'));
  const buffer = await new Response(stream).arrayBuffer();
  const column = (place) => new TYPES[place.type](buffer, place.offset, place.length);
  const columns = (object, names) => { for (const name of names) object[name] = column(object[name]); };
  columns(DATA.frames, ['index', 'time_s', 'ok']);
  DATA.numbers.forEach((n) => columns(n, ['values']));
  DATA.flags.forEach((f) => columns(f, ['values']));
  DATA.boxes.forEach((b) => columns(b, ['starts', 'xyxy', 'confidence', 'class_rank', 'tracker_id', 'text_rank']));
  if (DATA.details) columns(DATA.details, ['starts', 'content']);
}

const state = {
  line: 0, // the chosen line
  hover: -1, // the line under the pointer, -1 for none
  view: [0, 1], // the seconds on show
  thresholds: {}, // path of boxes -> lowest confidence
  details: null, // gives what `detailsIn` found in the line; each page has its own source
};
const listeners = {};
const on = (name, react) => { (listeners[name] ??= []).push(react); };
function emit(name) { for (const react of listeners[name] ?? []) react(); }

// `make(key())`, made again only when the key has changed.
function lastOf(key, make) {
  let last;
  let made;
  return () => {
    const now = key();
    if (made === undefined || now !== last) [last, made] = [now, make(now)];
    return made;
  };
}

// Runs at most once per picture of the screen.
function throttled(work) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; work(); });
  };
}

const lineCount = () => DATA.frames.index.length;
const failedCount = () => Object.values(DATA.failures_by_node).reduce((sum, n) => sum + n, 0);

// The line whose time is nearest.
function lineAt(time) {
  const times = DATA.frames.time_s;
  const after = firstAtLeast(times, time);
  if (after === 0) return 0;
  if (after === times.length) return times.length - 1;
  return time - times[after - 1] <= times[after] - time ? after - 1 : after;
}

function firstAtLeast(sorted, wanted) {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < wanted) low = middle + 1; else high = middle;
  }
  return low;
}

function choose(line) {
  const bounded = Math.max(0, Math.min(lineCount() - 1, line));
  if (!lineCount() || Number.isNaN(bounded)) return;
  state.line = bounded;
  emit('line');
}

const chooseFrame = (index) => choose(lineAtFrame(index));

function lineAtFrame(index) {
  const after = firstAtLeast(DATA.frames.index, index);
  const found = DATA.frames.index;
  if (after === 0) return 0;
  if (after === found.length) return found.length - 1;
  return index - found[after - 1] <= found[after] - index ? after - 1 : after;
}

function clock(time, digits = 3) {
  if (!Number.isFinite(time)) return '–';
  const unit = 10 ** digits;
  const whole = Math.round(Math.abs(time) * unit);
  const sign = time < 0 && whole ? '−' : '';
  const seconds = whole / unit;
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  const rest = (seconds - 60 * Math.floor(seconds / 60)).toFixed(digits).padStart(digits ? digits + 3 : 2, '0');
  return hours ? `${sign}${hours}:${String(minutes).padStart(2, '0')}:${rest}` : `${sign}${minutes}:${rest}`;
}

const GROUPED = new Intl.NumberFormat('en-GB');
const count = (n) => GROUPED.format(n).replaceAll(',', '\u202f');
const plural = (n, word) => `${count(n)} ${word}${n === 1 ? '' : 's'}`;

// A number with about four digits that tell something.
function number(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–';
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return value.toExponential(2).replace('-', '−');
  if (Number.isInteger(value)) return count(value).replace('-', '−');
  const digits = Math.max(0, Math.min(5, 3 - Math.floor(Math.log10(size))));
  return value.toFixed(digits).replace('-', '−');
}

// The same without zeros at the end, for figures that stand alone.
const short = (value, digits = 3) => (Number.isFinite(value) ? String(Number(value.toPrecision(digits))).replace('-', '−') : '–');

function bytes(size) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let rank = 0;
  let value = size;
  while (value >= 1000 && rank < units.length - 1) { value /= 1000; rank++; }
  return `${rank ? value.toFixed(value < 10 ? 2 : 1) : value} ${units[rank]}`;
}

let palette = {};
function readPalette() {
  const style = getComputedStyle(document.documentElement);
  const names = ['ground', 'panel', 'sunk', 'ink', 'ink-2', 'ink-3', 'line', 'accent', 'accent-soft', 'bad', 'warn', 'on-accent'];
  palette = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  palette.series = [0, 1, 2, 3, 4, 5].map((i) => style.getPropertyValue(`--c${i}`).trim());
}
// The colour of a rank; what comes after the palette shares its last, neutral colour.
const colour = (rank) => palette.series[Math.min(rank, palette.series.length - 1)];
const colourName = (rank) => `var(--c${Math.min(rank, 5)})`;

function copyButton(text) {
  const button = el('button', { class: 'quiet', type: 'button' }, 'Copy');
  button.addEventListener('click', async () => {
    button.textContent = (await copied(text())) ? 'Copied' : 'Select and copy';
    setTimeout(() => { button.textContent = 'Copy'; }, 1400);
  });
  return button;
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = el('textarea', { value: text });
    document.body.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    return done;
  }
}

const command = (text) => el('div', { class: 'command' }, el('code', {}, text), copyButton(() => text));
// A path that may break after its dots.
const breakable = (path) => path.split(/(?<=\.)/).flatMap((part, i) => (i ? [el('wbr'), part] : [part]));
const empty = (...text) => el('p', { class: 'empty' }, ...text);

function frameLink(line) {
  const link = el('a', { class: 'frame-link', href: '#frames' }, count(DATA.frames.index[line]));
  link.addEventListener('click', () => choose(line));
  return link;
}

function table(head, rows) {
  const header = el('tr', {}, head.map(([name, kind]) => el('th', { class: kind ?? '' }, name)));
  return el('div', { class: 'scroll' }, el('table', { class: 'list' }, el('thead', {}, header), el('tbody', {}, rows)));
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  byId('theme').textContent = theme === 'dark' ? 'Light' : 'Dark';
  byId('theme').setAttribute('aria-label', `Switch to ${theme === 'dark' ? 'light' : 'dark'} colours`);
  readPalette();
  emit('theme');
}

// The colours that the system asks for, until the button says otherwise.
function followTheme() {
  const dark = window.matchMedia('(prefers-color-scheme: dark)');
  setTheme(dark.matches ? 'dark' : 'light');
  dark.addEventListener('change', () => setTheme(dark.matches ? 'dark' : 'light'));
  byId('theme').addEventListener('click', () => setTheme(document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark'));
}
