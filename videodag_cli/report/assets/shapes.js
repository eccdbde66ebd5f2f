// What a line says besides boxes: skeletons, masks, turned boxes, and what a picture or a box shows.

const SEEN = 0.5; // a point of less visibility is faint
const HINT = 0.2; // and of less than this hidden
const MASK_SHARE = 0.42;
const MOST_PIXELS = 1 << 26;

const isPoint = (point) => Array.isArray(point) && point.length >= 2 && Number.isFinite(point[0]) && Number.isFinite(point[1]);
const isBox = (row) => Array.isArray(row?.xyxy) && row.xyxy.length === 4 && row.xyxy.every((v) => typeof v === 'number');
const isClass = (row) => row && !('xyxy' in row) && ((typeof row.class_name === 'string' && typeof row.confidence === 'number') || (typeof row.name === 'string' && typeof row.similarity === 'number'));

// Of a line's result: path -> rows of boxes, each with its place in the list; path -> rows of classes.
function detailsIn(result) {
  const found = { rows: new Map(), classes: new Map() };
  const walk = (value, above) => {
    for (const [key, item] of Object.entries(value)) {
      const path = above + pathPart(key);
      if (Array.isArray(item)) {
        const rows = item.map((row, place) => ({ row, place })).filter(({ row }) => isBox(row));
        const classes = item.filter((row) => row && typeof row === 'object');
        if (rows.length) found.rows.set(path, rows);
        else if (classes.length && classes.every(isClass)) found.classes.set(path, classes);
      } else if (item && typeof item === 'object') walk(item, `${path}.`);
    }
  };
  if (result) walk(result, '');
  return found;
}

// One part of a path, as the columns have it.
function pathPart(key) {
  if (/^([A-Za-z_][A-Za-z0-9_]*|[0-9]{1,9})$/.test(key)) return key;
  const quote = key.includes('"') ? "'" : '"';
  return quote + key + quote;
}

// The details that were stored for a line.
function storedDetails(line) {
  const { starts, content } = DATA.details;
  const text = content.subarray(starts[line], starts[line + 1]);
  return detailsIn(text.length ? JSON.parse(new TextDecoder().decode(text)) : null);
}

const classText = (row) => (row.class_name ?? row.name).slice(0, 30);
const classScore = (row) => (row.confidence ?? row.similarity).toFixed(2);

// What was said of one box, where the record tells which boxes were looked at.
function classesOf(details, boxes, box) {
  const place = details.rows.get(boxes.path)?.[box - boxes.starts[state.line]]?.place ?? box - boxes.starts[state.line];
  return [...details.classes].filter(([path]) => DATA.joined[path] === boxes.path).flatMap(([, rows]) => rows.filter((row) => row.detection === place));
}

function drawShapes(pen, details, boxes, scale, overPicture) {
  const rows = details.rows.get(boxes.path);
  if (!rows) return;
  const threshold = state.thresholds[boxes.path] - 1e-6;
  const [from, to] = boxRange(boxes, state.line);
  for (let box = from; box < to; box++) {
    const row = rows[box - from]?.row;
    if (row && keeps(boxes, box, threshold)) drawShape(pen, row, scale, boxTone(boxes, box, overPicture), overPicture);
  }
}

function drawShape(pen, row, scale, tone, overPicture) {
  pen.save();
  pen.setLineDash([]);
  if (row.mask && typeof row.mask === 'object') drawMask(pen, row.mask, scale, tone);
  if (isTurned(row)) drawCorners(pen, row.corners, scale, tone, overPicture);
  if (Array.isArray(row.keypoints)) drawSkeleton(pen, row.keypoints, scale, tone, overPicture);
  pen.restore();
}

const isTurned = (row) => Array.isArray(row?.corners) && row.corners.length > 2 && row.corners.every(isPoint);

function drawCorners(pen, corners, scale, tone, overPicture) {
  pen.beginPath();
  corners.forEach(([x, y], i) => (i ? pen.lineTo(x * scale, y * scale) : pen.moveTo(x * scale, y * scale)));
  pen.closePath();
  outlined(pen, tone, overPicture, 2);
}

// A line that shows on any ground.
function outlined(pen, tone, overPicture, width) {
  if (overPicture) {
    pen.strokeStyle = 'rgba(0,0,0,0.55)';
    pen.lineWidth = width + 1.75;
    pen.stroke();
  }
  pen.strokeStyle = tone;
  pen.lineWidth = width;
  pen.stroke();
}

function drawSkeleton(pen, points, scale, tone, overPicture) {
  const shown = points.map((point) => (isPoint(point) ? (typeof point[2] === 'number' ? point[2] : 1) : 0));
  const alpha = pen.globalAlpha;
  pen.lineCap = 'round';
  for (const [from, to] of DATA.bones[points.length] ?? []) {
    const visibility = Math.min(shown[from], shown[to]);
    if (visibility < HINT) continue;
    pen.globalAlpha = visibility < SEEN ? alpha * 0.3 : alpha;
    pen.beginPath();
    pen.moveTo(points[from][0] * scale, points[from][1] * scale);
    pen.lineTo(points[to][0] * scale, points[to][1] * scale);
    outlined(pen, tone, overPicture && visibility >= SEEN, 2);
  }
  const [highest, lowest] = points.reduce(([a, b], p) => (isPoint(p) ? [Math.min(a, p[1]), Math.max(b, p[1])] : [a, b]), [Infinity, -Infinity]);
  const radius = Math.max(1.2, Math.min(3, ((lowest - highest) * scale) / 28));
  points.forEach((point, i) => {
    if (shown[i] < HINT) return;
    const [x, y] = point;
    pen.globalAlpha = shown[i] < SEEN ? alpha * 0.35 : alpha;
    pen.beginPath();
    pen.arc(x * scale, y * scale, radius, 0, 7);
    pen.fillStyle = overPicture ? '#ffffff' : palette.panel;
    pen.fill();
    pen.strokeStyle = overPicture ? 'rgba(0,0,0,0.7)' : tone;
    pen.lineWidth = 1;
    pen.stroke();
  });
  pen.globalAlpha = alpha;
}

// -- masks -----------------------------------------------------------------------------------------------------------------------

const painted = new WeakMap(); // mask -> {tone, canvas, left, top}

function drawMask(pen, mask, scale, tone) {
  let found = painted.get(mask);
  if (!found || found.tone !== tone) {
    found = { tone, ...paintMask(mask, tone) };
    painted.set(mask, found);
  }
  if (!found.canvas) return;
  const alpha = pen.globalAlpha;
  pen.globalAlpha = alpha * MASK_SHARE;
  pen.drawImage(found.canvas, found.left * scale, found.top * scale, found.canvas.width * scale, found.canvas.height * scale);
  pen.globalAlpha = alpha;
}

// The mask's own part of the picture in one colour, with its left and top; nothing where it is empty or no mask.
function paintMask(mask, tone) {
  const runs = maskRuns(mask);
  if (!runs?.length) return {};
  const height = mask.size[0];
  let [left, top, right, bottom] = [Infinity, Infinity, 0, 0];
  const columns = []; // [x, from, to]
  for (const [begin, end] of runs) {
    for (let at = begin; at < end;) {
      const x = Math.floor(at / height);
      const stop = Math.min(end, (x + 1) * height);
      const [from, to] = [at - x * height, stop - x * height];
      columns.push([x, from, to]);
      [left, right, top, bottom] = [Math.min(left, x), Math.max(right, x + 1), Math.min(top, from), Math.max(bottom, to)];
      at = stop;
    }
  }
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [right - left, bottom - top];
  const pen = canvas.getContext('2d');
  pen.fillStyle = tone;
  for (const [x, from, to] of columns) pen.fillRect(x - left, from - top, 1, to - from);
  return { canvas, left, top };
}

// COCO's compressed run lengths as [from, to) down the columns; null for what is none.
function maskRuns({ size, counts }) {
  if (!Array.isArray(size) || size.length !== 2 || !size.every((side) => Number.isInteger(side) && side > 0) || typeof counts !== 'string') return null;
  const total = size[0] * size[1];
  if (total > MOST_PIXELS) return null;
  const lengths = [];
  const runs = [];
  let [at, value, shift] = [0, 0, 0];
  for (let i = 0; i < counts.length; i++) {
    const part = counts.charCodeAt(i) - 48;
    if (part < 0 || part > 63 || shift > 25) return null;
    value |= (part & 31) << shift;
    shift += 5;
    if (part & 32) continue;
    if (part & 16) value |= -1 << shift;
    if (lengths.length > 2) value += lengths[lengths.length - 2];
    if (value < 0 || at + value > total) return null;
    if (lengths.length % 2 && value) runs.push([at, at + value]);
    at += value;
    lengths.push(value);
    [value, shift] = [0, 0];
  }
  return shift === 0 && at === total ? runs : null;
}

// -- classes of the whole picture -------------------------------------------------------------------------------------------------

const CLASSES_DRAWN = 3;

function drawClasses(pen, details, overPicture) {
  const texts = [...details.classes].flatMap(([path, rows]) => rows.filter((row) => row.detection === undefined).slice(0, CLASSES_DRAWN).map((row) => `${path}: ${classText(row)} ${classScore(row)}`));
  pen.font = '600 12px system-ui, sans-serif';
  pen.textBaseline = 'middle';
  pen.textAlign = 'left';
  texts.forEach((text, i) => {
    const top = 8 + 21 * i + (overPicture ? 0 : 24);
    pen.fillStyle = overPicture ? 'rgba(11,13,16,0.72)' : palette.panel;
    pen.fillRect(8, top, pen.measureText(text).width + 14, 20);
    pen.fillStyle = overPicture ? '#ffffff' : palette.ink;
    pen.fillText(text, 15, top + 10.5);
  });
}
