// The frame browser: a stored picture or plain ground, boxes over it, and a polygon built by clicks.

const STAGE_HEIGHT = 680;
const pictures = new Map(); // line -> {image, ready}
const polygons = [[]]; // in pixels of the source frame; the last one is being built
const canvas = byId('canvas');
let place = { left: 0, top: 0, scale: 1, width: 1, height: 1 };

function drawViewer() {
  const hint = DATA.pictures.length
    ? `${plural(DATA.pictures.length, 'picture')} stored; boxes are drawn for every frame.`
    : 'No picture is stored in this report; boxes are drawn for every frame.';
  byId('frames-hint').textContent = hint;
  if (!lineCount()) { byId('frames').replaceChildren(byId('frames').firstElementChild, empty('The results file has no lines.')); return; }
  for (const picture of DATA.pictures) pictures.set(picture.line, { src: picture.src, image: null });
  state.details = lastOf(() => state.line, storedDetails);
  drawStrip();
  prepareConfidence();
  preparePolygon();
  const draw = throttled(drawStage);
  new ResizeObserver(draw).observe(byId('stage'));
  on('line', throttled(() => { drawStage(); describeFrame(); markStrip(); }));
  on('thresholds', throttled(() => { drawStage(); describeFrame(); describeConfidence(); }));
  on('theme', draw);
  on('polygon', draw);
  canvas.addEventListener('pointermove', (event) => { byId('pointer').textContent = pointText(toSource(event)); });
  canvas.addEventListener('pointerleave', () => { byId('pointer').textContent = frameSizeText(); });
  canvas.addEventListener('click', (event) => { polygons[polygons.length - 1].push(toSource(event)); byId('polygon-card').open = true; emit('polygon'); });
  canvas.addEventListener('keydown', (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
    if (step) { event.preventDefault(); choose(state.line + step); }
  });
  byId('previous').addEventListener('click', () => choose(state.line - 1));
  byId('next').addEventListener('click', () => choose(state.line + 1));
  byId('go').addEventListener('change', (event) => chooseFrame(Number(event.target.value)));
  byId('pointer').textContent = frameSizeText();
}

const frameSizeText = () => (DATA.size_known ? `${DATA.size[0]} × ${DATA.size[1]} px` : 'frame size not known');
const pointText = ([x, y]) => `x ${x.toFixed(0)}, y ${y.toFixed(0)} px  ·  ${(x / DATA.size[0]).toFixed(4)}, ${(y / DATA.size[1]).toFixed(4)}`;

function toSource(event) {
  const box = canvas.getBoundingClientRect();
  const within = (value, limit) => Math.max(0, Math.min(limit, value));
  return [within((event.clientX - box.left - place.left) / place.scale, DATA.size[0]), within((event.clientY - box.top - place.top) / place.scale, DATA.size[1])];
}

function pictureOf(line) {
  const found = pictures.get(line);
  if (!found) return null;
  if (!found.image) {
    found.image = new Image();
    found.image.addEventListener('load', () => { if (state.line === line) drawStage(); });
    found.image.src = found.src;
  }
  return found.image.complete && found.image.naturalWidth ? found.image : null;
}

function drawStage() {
  const [sourceWidth, sourceHeight] = DATA.size;
  const width = byId('stage').clientWidth;
  if (!width) return;
  const height = Math.min(STAGE_HEIGHT, (width * sourceHeight) / sourceWidth);
  const pen = sharpCanvas(canvas, width, height);
  const scale = Math.min(width / sourceWidth, height / sourceHeight);
  place = { scale, left: (width - sourceWidth * scale) / 2, top: (height - sourceHeight * scale) / 2 };
  pen.save();
  pen.translate(place.left, place.top);
  const image = pictureOf(state.line);
  if (image) pen.drawImage(image, 0, 0, sourceWidth * scale, sourceHeight * scale);
  else drawGround(pen, sourceWidth * scale, sourceHeight * scale);
  drawFound(pen, scale, Boolean(image));
  drawPolygons(pen, scale);
  pen.restore();
}

function drawGround(pen, width, height) {
  pen.strokeStyle = palette.line;
  pen.lineWidth = 1;
  pen.beginPath();
  for (let part = 1; part < 10; part++) {
    const x = Math.round((width * part) / 10) + 0.5;
    const y = Math.round((height * part) / 10) + 0.5;
    pen.moveTo(x, 0); pen.lineTo(x, height);
    pen.moveTo(0, y); pen.lineTo(width, y);
  }
  pen.stroke();
  const failed = !DATA.frames.ok[state.line];
  const text = failed ? 'This frame failed: it has no result.' : pictures.has(state.line) ? '' : `No picture of this frame is stored; --at ${DATA.frames.index[state.line]}f adds it.`;
  pen.font = '12.5px system-ui, sans-serif';
  pen.textAlign = 'left';
  pen.textBaseline = 'top';
  const size = pen.measureText(text).width;
  if (!text) return;
  pen.fillStyle = palette.sunk;
  pen.fillRect(6, 6, size + 12, 22);
  pen.fillStyle = failed ? palette.bad : palette['ink-2'];
  pen.fillText(text, 12, 10);
}

// -- strip of pictures ----------------------------------------------------------------------------------------------------------

function drawStrip() {
  const strip = byId('strip');
  if (!DATA.pictures.length) { fill(strip, empty(DATA.pictures_missing)); return; }
  fill(strip, DATA.pictures.map((picture) => {
    const reasons = picture.reasons.join(', ');
    return el('button', { class: 'thumb', type: 'button', title: reasons, 'aria-pressed': 'false', onclick: () => choose(picture.line) },
      el('img', { src: picture.src, alt: '', loading: 'lazy' }), el('span', {}, el('b', {}, clock(DATA.frames.time_s[picture.line], 1)), ` frame ${count(DATA.frames.index[picture.line])}`), el('span', {}, reasons));
  }));
}

function markStrip() {
  [...byId('strip').querySelectorAll('.thumb')].forEach((thumb, i) => {
    const pressed = DATA.pictures[i].line === state.line;
    thumb.setAttribute('aria-pressed', String(pressed));
    const strip = byId('strip');
    if (pressed && (thumb.offsetLeft < strip.scrollLeft + strip.offsetLeft || thumb.offsetLeft + thumb.offsetWidth > strip.offsetLeft + strip.scrollLeft + strip.clientWidth)) {
      strip.scrollTo({ left: thumb.offsetLeft - strip.offsetLeft - 60 });
    }
  });
}

// -- polygon ----------------------------------------------------------------------------------------------------------------------

function drawPolygons(pen, scale) {
  for (const points of polygons) {
    if (!points.length) continue;
    pen.beginPath();
    points.forEach(([x, y], i) => (i ? pen.lineTo(x * scale, y * scale) : pen.moveTo(x * scale, y * scale)));
    if (points.length > 2) pen.closePath();
    pen.fillStyle = 'rgba(122,167,255,0.22)';
    pen.fill();
    pen.strokeStyle = 'rgba(0,0,0,0.5)';
    pen.lineWidth = 4;
    pen.stroke();
    pen.strokeStyle = '#ffffff';
    pen.lineWidth = 1.75;
    pen.stroke();
    pen.fillStyle = '#ffffff';
    for (const [x, y] of points) { pen.beginPath(); pen.arc(x * scale, y * scale, 3.5, 0, 7); pen.fill(); pen.stroke(); }
  }
}

function polygonText() {
  const fractions = byId('polygon-unit').value === 'fractions';
  const round = (value, digits) => Number(value.toFixed(digits));
  const coordinates = ([x, y]) => (fractions ? [round(x / DATA.size[0], 4), round(y / DATA.size[1], 4)] : [round(x, 0), round(y, 0)]);
  const isLine = byId('polygon-kind').value === 'lines';
  const finished = polygons.filter((points) => points.length);
  const name = (i) => `${byId('polygon-name').value || (isLine ? 'line' : 'zone')}${finished.length > 1 ? ` ${i + 1}` : ''}`;
  const shapes = finished.map((points, i) => (isLine
    ? `{"name": ${JSON.stringify(name(i))}, "start": ${pair(coordinates(points[0]))}, "end": ${pair(coordinates(points[points.length - 1]))}}`
    : `{"name": ${JSON.stringify(name(i))}, "polygon": [${points.map((point) => pair(coordinates(point))).join(', ')}]}`));
  const node = JSON.stringify(byId('polygon-node').value || 'zones');
  return `{${node}: {"${isLine ? 'lines' : 'zones'}": [\n  ${shapes.join(',\n  ')}\n], "units": "${fractions ? 'fraction' : 'pixel'}"}}`;
}

const pair = ([x, y]) => `[${x}, ${y}]`;

function preparePolygon() {
  const kind = byId('polygon-kind');
  const node = () => { byId('polygon-node').value = (kind.value === 'lines' ? DATA.line_node : DATA.zone_node) ?? kind.value; };
  kind.value = DATA.line_node && !DATA.zone_node ? 'lines' : 'zones';
  kind.addEventListener('input', () => { node(); emit('polygon'); });
  node();
  const show = () => {
    const points = polygons.reduce((n, p) => n + p.length, 0);
    byId('polygon-hint').textContent = points ? plural(points, 'point') : 'Click on the picture to place points; the JSON is for --params.';
    byId('polygon-json').textContent = points ? polygonText() : 'No points yet.';
    for (const id of ['undo', 'close', 'clear', 'copy']) byId(`polygon-${id}`).disabled = !points;
  };
  on('polygon', show);
  for (const id of ['node', 'name', 'unit']) byId(`polygon-${id}`).addEventListener('input', () => emit('polygon'));
  byId('polygon-undo').addEventListener('click', () => {
    if (!polygons[polygons.length - 1].length && polygons.length > 1) polygons.pop();
    polygons[polygons.length - 1].pop();
    emit('polygon');
  });
  byId('polygon-close').addEventListener('click', () => { if (polygons[polygons.length - 1].length) polygons.push([]); emit('polygon'); });
  byId('polygon-clear').addEventListener('click', () => { polygons.splice(0, polygons.length, []); emit('polygon'); });
  byId('polygon-copy').addEventListener('click', () => copied(polygonText()));
  show();
}
