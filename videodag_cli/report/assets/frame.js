// The chosen frame in words, and the lowest confidence that is shown.

// -- beside the picture --------------------------------------------------------------------------------------------------------

const ROWS_SHOWN = 60;

function describeFrame() {
  const line = state.line;
  byId('frame-name').textContent = `Frame ${count(DATA.frames.index[line])}`;
  byId('frame-time').textContent = clock(DATA.frames.time_s[line]);
  byId('go').value = DATA.frames.index[line];
  byId('previous').disabled = line === 0;
  byId('next').disabled = line === lineCount() - 1;
  const found = [];
  const group = (name, value) => found.push(el('tr', { class: 'group' }, el('td', {}, name), el('td', {}, value)));
  const value = (name, text) => found.push(el('tr', {}, el('td', {}, name), el('td', {}, text)));
  const under = (name, text) => found.push(el('tr', { class: 'under' }, el('td', {}, name), el('td', {}, text)));
  const failure = DATA.failures.find((f) => f.line === line);
  if (!DATA.frames.ok[line]) {
    group('failed', failure ? failure.node : '');
    if (failure) found.push(el('tr', {}, el('td', { colSpan: 2 }, `${failure.tool}: ${failure.type}: ${failure.message}`)));
  }
  const details = state.details();
  for (const boxes of DATA.boxes) {
    if (!DATA.frames.ok[line]) break;
    const [from, to] = boxRange(boxes, line);
    const kept = [];
    for (let box = from; box < to; box++) if (keeps(boxes, box, state.thresholds[boxes.path] - 1e-6)) kept.push(box);
    group(boxes.path, kept.length === to - from ? plural(kept.length, 'box').replace('boxs', 'boxes') : `${kept.length} of ${to - from}`);
    for (const box of kept.slice(0, ROWS_SHOWN)) {
      const name = boxLabel(boxes, box) || boxes.path;
      found.push(el('tr', {}, el('td', {}, el('i', { class: 'dot', key: colourName(boxColourRank(boxes, box)) }), name), el('td', {}, Number.isNaN(boxes.confidence[box]) ? '' : boxes.confidence[box].toFixed(2))));
      const presence = details.rows.get(boxes.path)?.[box - from]?.row.presence;
      if (typeof presence === 'number') under('presence', presence.toFixed(2));
      for (const row of classesOf(details, boxes, box)) under(classText(row), classScore(row));
    }
    if (kept.length > ROWS_SHOWN) value('…', `${kept.length - ROWS_SHOWN} more`);
  }
  for (const [path, rows] of details.classes) {
    if (DATA.joined[path]) continue;
    group(path, '');
    for (const row of rows.slice(0, ROWS_SHOWN)) value(row.detection === undefined ? classText(row) : `box ${row.detection + 1}: ${classText(row)}`, classScore(row));
  }
  const numbers = DATA.numbers.filter((n) => !Number.isNaN(n.values[line]));
  if (numbers.length) group('numbers', '');
  for (const { path, values } of numbers) value(breakable(path), number(values[line]));
  const flags = DATA.flags.filter((f) => f.values[line] < 2);
  if (flags.length) group('flags', '');
  for (const { path, values } of flags) value(breakable(path), values[line] ? 'true' : 'false');
  fill(byId('frame-values'), el('table', { class: 'values' }, el('tbody', {}, found)));
}

// -- confidence ------------------------------------------------------------------------------------------------------------------

const filtered = () => DATA.boxes.filter((boxes) => boxes.has_confidence);
const chosenBoxes = () => DATA.boxes.find((boxes) => boxes.path === byId('confidence-output').value);

function prepareConfidence() {
  const outputs = filtered();
  const card = byId('confidence-card');
  if (!outputs.length) { card.hidden = true; return; }
  const select = byId('confidence-output');
  fill(select, outputs.map((boxes) => el('option', { value: boxes.path }, boxes.path)));
  const slider = byId('confidence');
  const take = () => {
    const boxes = chosenBoxes();
    slider.min = String(Math.floor(boxes.lowest * 100) / 100);
    slider.max = '1';
    slider.step = '0.01';
    slider.value = String(Math.max(Number(slider.min), state.thresholds[boxes.path]));
    describeConfidence();
  };
  select.addEventListener('change', take);
  slider.addEventListener('input', () => {
    const value = Number(slider.value);
    state.thresholds[chosenBoxes().path] = value <= Number(slider.min) ? 0 : value;
    emit('thresholds');
  });
  take();
}

function describeConfidence() {
  const boxes = chosenBoxes();
  if (!boxes) return;
  const value = Number(byId('confidence').value);
  byId('confidence-value').textContent = value.toFixed(2);
  const total = boxes.confidence.length;
  const kept = keptBoxes(boxes);
  const setting = DATA.settings[boxes.path];
  byId('confidence-effect').textContent = `${count(kept)} of ${count(total)} boxes stay. ${kept === total ? `The run kept none below ${boxes.lowest.toFixed(2)}.` : ''}`;
  const note = setting.note ? el('p', { class: 'soft small more' }, setting.note) : null;
  fill(byId('confidence-set'), setting.node ? command(`--set ${setting.node}.${setting.param}=${value.toFixed(2)}`) : null, note);
}
