// Boxes above the chosen confidence: how many of each class, and when each track was seen.

const CLASS_LIMIT = 5;

function prepareBoxes() {
  let rank = 0;
  for (const boxes of DATA.boxes) {
    boxes.firstRank = rank; // colours go on from one output to the next
    const totals = new Array(boxes.classes.length).fill(0);
    for (const c of boxes.class_rank) totals[c]++;
    boxes.order = totals.map((n, c) => [n, c]).sort((a, b) => b[0] - a[0]).map(([, c]) => c);
    boxes.shownRank = new Array(boxes.classes.length);
    boxes.order.forEach((c, place) => { boxes.shownRank[c] = Math.min(place, CLASS_LIMIT); });
    rank += Math.min(boxes.classes.length, CLASS_LIMIT) || 1;
    boxes.lowest = boxes.confidence.reduce((low, c) => (c < low ? c : low), 1);
    state.thresholds[boxes.path] = 0;
  }
}

const className = (boxes, c) => boxes.classes[c] || boxes.path;
const boxColourRank = (boxes, box) => (boxes.firstRank + boxes.shownRank[boxes.class_rank[box]]) % 6;
// A box without a confidence is always kept.
const keeps = (boxes, box, threshold) => !(boxes.confidence[box] < threshold);
const boxRange = (boxes, line) => [boxes.starts[line], boxes.starts[line + 1]];

// Counts per line of the commonest classes, and of all others together; NaN on failed frames.
function countSeries(boxes) {
  const threshold = state.thresholds[boxes.path] - 1e-6;
  const names = boxes.order.slice(0, CLASS_LIMIT).map((c) => className(boxes, c));
  if (boxes.classes.length > CLASS_LIMIT) names.push(`${boxes.classes.length - CLASS_LIMIT} others`);
  const series = names.map(() => new Float32Array(lineCount()));
  for (let line = 0; line < lineCount(); line++) {
    if (!DATA.frames.ok[line]) { for (const s of series) s[line] = NaN; continue; }
    for (let box = boxes.starts[line]; box < boxes.starts[line + 1]; box++) {
      if (keeps(boxes, box, threshold)) series[boxes.shownRank[boxes.class_rank[box]]][line]++;
    }
  }
  return { names, series, ranks: names.map((_, i) => (boxes.firstRank + i) % 6) };
}

function keptBoxes(boxes) {
  const threshold = state.thresholds[boxes.path] - 1e-6;
  let kept = 0;
  for (let box = 0; box < boxes.confidence.length; box++) kept += keeps(boxes, box, threshold);
  return kept;
}

// One item per track, in the order of first sight: parts are runs of lines without a gap.
function lifelines(boxes, lineEnd) {
  const threshold = state.thresholds[boxes.path] - 1e-6;
  const times = DATA.frames.time_s;
  const tracks = new Map();
  for (let line = 0; line < lineCount(); line++) {
    for (let box = boxes.starts[line]; box < boxes.starts[line + 1]; box++) {
      const id = boxes.tracker_id[box];
      if (id < 0 || !keeps(boxes, box, threshold)) continue;
      let track = tracks.get(id);
      if (!track) {
        track = { id, start: times[line], rank: boxColourRank(boxes, box), name: className(boxes, boxes.class_rank[box]), parts: [], lines: 0, last: -2 };
        tracks.set(id, track);
      }
      if (track.last === line) continue;
      if (track.last === line - 1) track.parts[track.parts.length - 1][1] = lineEnd(line);
      else track.parts.push([times[line], lineEnd(line)]);
      track.last = line;
      track.lines++;
      track.end = lineEnd(line);
    }
  }
  return [...tracks.values()];
}
