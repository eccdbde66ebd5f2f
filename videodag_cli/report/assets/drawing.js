// What was found, over a picture.

const SHORT_LABELS = 0.6; // below this scale

function drawFound(pen, scale, overPicture) {
  const details = state.details();
  for (const boxes of DATA.boxes) drawShapes(pen, details, boxes, scale, overPicture);
  for (const boxes of DATA.boxes) drawBoxes(pen, details, boxes, scale, overPicture);
  drawClasses(pen, details, overPicture);
}

function boxTone(boxes, box, overPicture) {
  const rank = boxColourRank(boxes, box);
  return overPicture ? OVER_PICTURE[rank] : colour(rank);
}

function drawBoxes(pen, details, boxes, scale, overPicture) {
  const threshold = state.thresholds[boxes.path] - 1e-6;
  const [from, to] = boxRange(boxes, state.line);
  pen.font = '600 11px system-ui, sans-serif';
  pen.textBaseline = 'middle';
  pen.textAlign = 'left';
  for (let box = from; box < to; box++) {
    if (!keeps(boxes, box, threshold)) continue;
    const [x1, y1, x2, y2] = [0, 1, 2, 3].map((i) => (boxes.xyxy[4 * box + i] / boxes.scale) * scale);
    const tone = boxTone(boxes, box, overPicture);
    const turned = isTurned(details.rows.get(boxes.path)?.[box - from]?.row); // the upright bounds of a turned box are only a hint
    const alpha = pen.globalAlpha;
    if (turned) pen.globalAlpha = alpha * 0.3;
    if (overPicture && !turned) {
      pen.strokeStyle = 'rgba(0,0,0,0.55)';
      pen.lineWidth = 3.5;
      pen.strokeRect(x1, y1, x2 - x1, y2 - y1);
    }
    pen.strokeStyle = tone;
    pen.lineWidth = turned ? 1 : 1.75;
    pen.strokeRect(x1, y1, x2 - x1, y2 - y1);
    pen.globalAlpha = alpha;
    const id = boxes.tracker_id[box];
    const said = classesOf(details, boxes, box).map(classText);
    const own = scale < SHORT_LABELS && id >= 0 ? `#${id}` : boxLabel(boxes, box); // small pictures have no room for more
    const label = [own, ...said.slice(0, 1)].filter(Boolean).join(' · ');
    if (!label) continue;
    const width = pen.measureText(label).width + 8;
    const top = y1 >= 16 ? y1 - 16 : y1;
    pen.fillStyle = tone;
    pen.fillRect(x1 - 1, top, width, 15);
    pen.fillStyle = overPicture || palette['on-accent'] !== '#ffffff' ? '#0b0d10' : '#ffffff';
    pen.fillText(label, x1 + 3, top + 8);
  }
}

// Bright enough for any picture, in light and in dark.
const OVER_PICTURE = ['#8cb4ff', '#ffb36b', '#6fe0c8', '#d3b0ff', '#ff9dbb', '#d0d4da'];

function boxLabel(boxes, box) {
  if (boxes.text_rank[box]) return boxes.texts[boxes.text_rank[box] - 1].slice(0, 40);
  const name = boxes.classes[boxes.class_rank[box]];
  const id = boxes.tracker_id[box];
  const parts = [name.slice(0, 30), id >= 0 ? `#${id}` : ''];
  return parts.filter(Boolean).join(' ');
}
