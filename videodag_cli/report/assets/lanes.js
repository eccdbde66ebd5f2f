// Lanes: bars over time on a canvas, for flags, texts, events, failed frames and the lives of tracks.

const LEFT = 50; // space for the scale, the same in every row so that times stand above each other
const RIGHT = 14;

function sharpCanvas(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(height * ratio));
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext('2d');
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return pen;
}

function timeToX(time, width) {
  const [from, to] = state.view;
  return LEFT + ((time - from) / (to - from || 1)) * (width - LEFT - RIGHT);
}

// Puts items that overlap on different lanes; items are in the order of their start. Returns the number of lanes.
function packed(items) {
  const ends = [];
  for (const item of items) {
    let lane = ends.findIndex((end) => end <= item.start);
    if (lane < 0) lane = ends.push(0) - 1;
    ends[lane] = item.end;
    item.lane = lane;
  }
  return Math.max(1, ends.length);
}

// items: {start, end, lane, rank | bad, label, gutter, parts: [[start, end], ...] or undefined}
function drawLanes(canvas, width, items, laneHeight, laneCount) {
  const height = laneHeight * laneCount + 8;
  const pen = sharpCanvas(canvas, width, height);
  const [from, to] = state.view;
  pen.font = `${Math.min(11, laneHeight)}px system-ui, sans-serif`;
  pen.textBaseline = 'middle';
  const bar = Math.max(2, Math.min(10, laneHeight - 3));
  const inside = (x) => Math.max(LEFT, Math.min(width - RIGHT, x));
  for (const item of items) {
    if (item.end < from || item.start > to) continue;
    const middle = 4 + item.lane * laneHeight + laneHeight / 2;
    const left = inside(timeToX(item.start, width));
    const right = Math.max(left + 2, inside(timeToX(item.end, width)));
    pen.fillStyle = item.bad ? palette.bad : colour(item.rank);
    if (item.parts) {
      pen.globalAlpha = 0.35;
      pen.fillRect(left, middle - 0.75, right - left, 1.5);
      pen.globalAlpha = 1;
      let last = -1;
      for (const [start, end] of item.parts) {
        if (end < from || start > to) continue;
        const a = inside(timeToX(start, width));
        const b = Math.max(a + 1.5, inside(timeToX(end, width)));
        if (b <= last) continue; // nothing more would show on this pixel
        pen.fillRect(a, middle - bar / 2, b - a, bar);
        last = b;
      }
    } else {
      pen.fillRect(left, middle - bar / 2, right - left, bar);
    }
    if (item.gutter && laneHeight >= 9) {
      pen.fillStyle = palette['ink-3'];
      pen.textAlign = 'right';
      pen.fillText(item.gutter, LEFT - 7, middle + 0.5);
      pen.textAlign = 'left';
    } else if (item.label && right - left > 26 && laneHeight >= 13) {
      pen.save();
      pen.beginPath();
      pen.rect(left, middle - bar / 2, right - left - 3, bar);
      pen.clip();
      pen.fillStyle = palette['on-accent'];
      pen.font = '9.5px system-ui, sans-serif';
      pen.fillText(item.label, left + 4, middle + 0.5);
      pen.restore();
    }
  }
  return height;
}
