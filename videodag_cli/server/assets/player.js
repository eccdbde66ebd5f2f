// The uploaded video with what was found drawn over it: the picture on screen says which frame it is, and that frame's boxes are drawn.

const player = (() => {
  const PAGE = 100; // lines fetched at once
  const TRAIL = 30; // lines
  const AHEAD_S = 0.001; // into the frame, so that rounding does not show the one before it
  const FIRST_MS = 2000; // a browser that shows no picture by then counts as the file does
  const UNSAID_MS = 200; // after a seek
  const TRIES = 10;
  const video = byId('video');
  const canvas = byId('canvas');
  const pages = new Map(); // number -> promise of lines
  let job = null;
  let shown = -1; // the media time on screen
  let blind = false; // the browser cannot play the video
  let origin = null; // the time of the file that the browser calls 0; unknown until its first picture
  let fromVideo = false;
  let again = 0; // how often a seek may be repeated
  let sought = false; // a line was chosen, and its picture is not on screen yet: a picture from before does not choose another

  // The sampled frame that is on screen, or the last one before it.
  function lineShown(time) {
    const after = firstAtLeast(DATA.frames.time_s, time + AHEAD_S);
    return Math.max(0, after - 1);
  }
  // Firefox calls a frame that was sought by the time that was asked for, which is `AHEAD_S` into it.
  const isExact = () => {
    const after = shown - DATA.frames.time_s[state.line];
    return blind || (after > -AHEAD_S && after < 2 * AHEAD_S);
  };

  // Firefox counts from the first picture, Chromium as the file does: the first picture, before anything is sought, says which it is.
  function begin(mediaTime) {
    if (origin !== null) return;
    const first = job.summary.video.first_time_s ?? 0;
    origin = first > 2 * AHEAD_S && Math.abs(mediaTime) < AHEAD_S ? first : 0;
    choose(state.line);
  }

  function onFrame(_, { mediaTime }) {
    begin(mediaTime);
    shown = mediaTime + origin;
    const line = lineShown(shown);
    if (line === state.line) sought = false;
    else if (!sought) {
      fromVideo = true;
      choose(line);
      fromVideo = false;
    }
    draw();
    video.requestVideoFrameCallback(onFrame);
  }

  function seekTo(line) {
    sought = true;
    again = TRIES;
    if (origin !== null) video.currentTime = DATA.frames.time_s[line] - origin + AHEAD_S;
  }

  // Chromium does not always say that it put a picture on screen: then it is asked for once more.
  function seekAgain() {
    if (isExact() || !video.paused || video.seeking || again <= 0) return;
    again -= 1;
    video.currentTime = video.currentTime;
  }

  function fetchPage(number) {
    if (!pages.has(number)) {
      const found = fetch(`/video/jobs/${job.job_id}/results?format=jsonl&offset=${number * PAGE}&limit=${PAGE}`)
        .then((answer) => (answer.ok ? answer.text() : Promise.reject(new Problem(answer.status, {})))).then((text) => text.split('\n'));
      pages.set(number, found);
      found.then((lines) => { found.lines = lines; if (Math.floor(state.line / PAGE) === number) { draw(); showRaw(); describeFrame(); } }, () => pages.delete(number));
      if (pages.size > 40) pages.delete(pages.keys().next().value);
    }
    return pages.get(number);
  }

  // The text of the whole line, where it is here already; asks for it and the next ones where not.
  function rawLine(line) {
    const number = Math.floor(line / PAGE);
    const found = fetchPage(number).lines;
    if (line % PAGE > PAGE / 2 && (number + 1) * PAGE < lineCount()) fetchPage(number + 1);
    return found?.[line % PAGE];
  }

  function showRaw() {
    if (!byId('raw-card').open) return;
    const line = rawLine(state.line);
    byId('raw').textContent = line ?? '…';
  }

  function draw() {
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (!width || !height) return;
    const pen = sharpCanvas(canvas, width, height);
    canvas.style.width = '';
    canvas.style.height = '';
    const [sourceWidth, sourceHeight] = DATA.size;
    const scale = Math.min(width / sourceWidth, height / sourceHeight);
    const exact = isExact();
    pen.save();
    pen.translate((width - sourceWidth * scale) / 2, (height - sourceHeight * scale) / 2);
    if (!exact) { pen.globalAlpha = 0.55; pen.setLineDash([5, 4]); }
    if (byId('trails').checked) for (const boxes of DATA.boxes) drawTrails(pen, boxes, scale);
    drawFound(pen, scale, true);
    pen.restore();
    canvas.dataset.frame = DATA.frames.index[state.line];
    canvas.dataset.exact = exact;
    canvas.dataset.time = shown;
    byId('pointer').textContent = `${clock(exact ? DATA.frames.time_s[state.line] : shown)}${exact ? '' : ' · not a sampled frame: the last one is drawn'}`;
  }

  function drawTrails(pen, boxes, scale) {
    if (!boxes.has_ids) return;
    const [from, to] = boxRange(boxes, state.line);
    for (let box = from; box < to; box++) {
      const id = boxes.tracker_id[box];
      if (id < 0 || !keeps(boxes, box, state.thresholds[boxes.path] - 1e-6)) continue;
      pen.beginPath();
      let begun = false;
      for (let line = Math.max(0, state.line - TRAIL); line <= state.line; line++) {
        for (let other = boxes.starts[line]; other < boxes.starts[line + 1]; other++) {
          if (boxes.tracker_id[other] !== id) continue;
          const x = ((boxes.xyxy[4 * other] + boxes.xyxy[4 * other + 2]) / 2 / boxes.scale) * scale;
          const y = (boxes.xyxy[4 * other + 3] / boxes.scale) * scale;
          if (begun) pen.lineTo(x, y); else pen.moveTo(x, y);
          begun = true;
        }
      }
      pen.strokeStyle = OVER_PICTURE[boxColourRank(boxes, box)];
      pen.lineWidth = 2;
      pen.stroke();
    }
  }

  // Results without a picture: what was found is drawn all the same, frame by frame.
  function goBlind() {
    if (blind) return;
    blind = true;
    shown = DATA.frames.time_s[state.line];
    for (const id of ['play', 'speed']) byId(id).hidden = true;
    byId('blind').hidden = false;
    byId('stage').classList.add('blind');
    draw();
  }

  async function start(found) {
    job = found;
    const { block, ...data } = await ask(`/video/jobs/${job.job_id}/columns`);
    await take(data, block);
    for (const id of ['frames', 'timelines', 'table']) byId(id).hidden = false;
    prepareBoxes();
    byId('stage').style.aspectRatio = `${DATA.size[0]} / ${DATA.size[1]}`;
    byId('seek').max = String(Math.max(0, lineCount() - 1));
    if (!lineCount()) return;
    state.details = lastOf(() => rawLine(state.line), (line) => detailsIn(line ? JSON.parse(line).result : null));
    prepareConfidence();
    drawTimelines();
    byId('frame-table').show();
    on('line', () => {
      if (blind) shown = DATA.frames.time_s[state.line];
      else if (!fromVideo) { shown = -1; seekTo(state.line); }
    });
    on('line', throttled(() => { describeFrame(); showRaw(); byId('seek').value = String(state.line); if (blind) draw(); }));
    on('thresholds', throttled(() => { describeConfidence(); describeFrame(); draw(); }));
    on('theme', throttled(draw));
    new ResizeObserver(throttled(draw)).observe(canvas);
    byId('trails').addEventListener('change', draw);
    byId('raw-card').addEventListener('toggle', showRaw);
    byId('seek').addEventListener('input', (event) => choose(Number(event.target.value)));
    byId('previous').addEventListener('click', () => choose(state.line - 1));
    byId('next').addEventListener('click', () => choose(state.line + 1));
    byId('go').addEventListener('change', (event) => chooseFrame(Number(event.target.value)));
    byId('speed').addEventListener('change', (event) => { video.playbackRate = Number(event.target.value); });
    const toggle = () => (blind ? null : video.paused ? video.play().catch(showProblem) : video.pause());
    byId('play').addEventListener('click', toggle);
    canvas.addEventListener('click', toggle);
    canvas.addEventListener('keydown', (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
      if (step) { event.preventDefault(); video.pause(); choose(state.line + step); }
      if (event.key === ' ') { event.preventDefault(); toggle(); }
    });
    for (const name of ['play', 'pause', 'ended']) video.addEventListener(name, () => { byId('play').textContent = video.paused ? 'Play' : 'Pause'; });
    video.addEventListener('error', goBlind);
    video.addEventListener('loadedmetadata', () => { if (!video.videoWidth) goBlind(); }); // only its sound can be played
    video.requestVideoFrameCallback(onFrame);
    video.addEventListener('loadeddata', () => setTimeout(begin, job.summary.video.first_time_s ? FIRST_MS : 0, NaN), { once: true });
    video.addEventListener('seeked', () => {
      if (video.seeking) return;
      sought = false;
      setTimeout(seekAgain, UNSAID_MS);
    });
    video.src = `/video/jobs/${job.job_id}/video`;
    state.line = 0;
    describeFrame();
    document.documentElement.dataset.ready = 'yes';
  }
  return { start };
})();
