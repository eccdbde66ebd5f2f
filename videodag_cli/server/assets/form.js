// A new job: nothing is chosen for the user, so Run waits until file, pipeline and sampling are named.

const form = (() => {
  let tools = [];
  let request = null;

  const sampling = () => document.querySelector('input[name="sampling"]:checked')?.value ?? '';
  const text = (id) => byId(id).value.trim();

  function options() {
    const found = {};
    const kind = sampling();
    if (kind === 'stride') found.frame_stride = Number(text('stride'));
    if (kind === 'every') found.every = text('every');
    if (kind === 'keyframes') found.keyframes = true;
    if (kind === 'number') found.num_frames = Number(text('num_frames'));
    for (const name of ['start', 'end', 'clock']) if (text(name)) found[name] = text(name);
    if (byId('timecode').checked) found.timecode = true;
    if (text('max_frames')) found.max_frames = Number(text('max_frames'));
    const set = text('set').split('\n').map((line) => line.trim()).filter(Boolean);
    if (set.length) found.set = set;
    return found;
  }

  function lacking() {
    const kind = sampling();
    const found = [];
    if (!byId('file').files.length) found.push('a video');
    if (!byId('pipeline').value) found.push('a pipeline');
    if (!kind) found.push('which frames');
    const whole = { stride: 'stride', number: 'num_frames' }[kind];
    if (whole && !(Number.isInteger(Number(text(whole))) && Number(text(whole)) >= 1)) found.push('a whole number of frames from 1 up');
    if (kind === 'every' && !text('every')) found.push('the seconds between frames');
    return found;
  }

  function update() {
    const lacks = lacking();
    byId('run').disabled = Boolean(lacks.length || request);
    byId('lacks').textContent = request ? '' : lacks.length ? `Still to choose: ${lacks.join(', ')}.` : '';
    const file = byId('file').files[0];
    byId('file-name').textContent = file ? `${file.name}, ${bytes(file.size)}` : 'Drop an MP4 or MOV file here, or choose one.';
    fill(byId('same'), sameInTerminal(byId('pipeline').value || 'PIPELINE', options(), file?.name ?? 'clip.mp4'));
  }

  async function choosePipeline() {
    const id = byId('pipeline').value;
    update();
    byId('pipeline-text').textContent = '';
    byId('graph').show(null);
    if (!id) return;
    try {
      const [found] = await Promise.all([ask(`/pipelines/${encodeURIComponent(id)}`), tools.length ? null : ask('/tools').then((all) => { tools = all; })]);
      if (byId('pipeline').value !== id) return;
      fill(byId('pipeline-text'), withCode(found.description ?? ''));
      byId('graph').show(found.graph, tools);
    } catch (error) { showProblem(error); }
  }

  function send(event) {
    event.preventDefault();
    if (lacking().length || request) return;
    clearProblem();
    const body = new FormData(); // in the order in which the service can refuse soonest
    body.append('pipeline_id', byId('pipeline').value);
    body.append('options', JSON.stringify(options()));
    body.append('file', byId('file').files[0]);
    request = new XMLHttpRequest();
    const began = performance.now();
    request.upload.addEventListener('progress', ({ loaded, total }) => {
      byId('upload').value = total ? loaded / total : 0;
      const rate = loaded / Math.max(1e-3, (performance.now() - began) / 1000);
      byId('upload-text').textContent = `${bytes(loaded)} of ${bytes(total)}, ${bytes(Math.round(rate))}/s`;
    });
    const over = (error) => {
      request = null;
      for (const id of ['upload', 'abort']) byId(id).hidden = true;
      byId('upload-text').textContent = '';
      if (error) showProblem(error);
      update();
    };
    request.addEventListener('load', () => {
      let answer = {};
      try { answer = JSON.parse(request.responseText); } catch { /* not from the service */ }
      if (request.status === 202 || request.status === 200) location.assign(`/?job=${answer.job_id}`);
      else if (request.status === 401) { over(null); askForToken(); } else over(new Problem(request.status, answer));
    });
    request.addEventListener('error', () => over(new Error('The upload broke off.')));
    request.addEventListener('abort', () => over(null));
    request.open('POST', '/video/upload-and-run');
    for (const id of ['upload', 'abort']) byId(id).hidden = false;
    byId('run').disabled = true;
    request.send(body);
  }

  async function start() {
    for (const found of await ask('/pipelines')) {
      const problem = found.problem ? ' (cannot be loaded)' : '';
      byId('pipeline').append(el('option', { value: found.id, disabled: Boolean(found.problem) }, `${found.name || found.id} (${found.id})${problem}`));
    }
    byId('new').hidden = false;
    byId('form').addEventListener('submit', send);
    byId('form').addEventListener('input', update);
    byId('file').addEventListener('change', update);
    byId('pipeline').addEventListener('change', choosePipeline);
    byId('abort').addEventListener('click', () => request?.abort());
    for (const [id, value] of [['stride', 'stride'], ['every', 'every'], ['num_frames', 'number']]) {
      const choose = () => { document.querySelector(`input[name="sampling"][value="${value}"]`).checked = true; update(); };
      for (const name of ['input', 'click']) byId(id).addEventListener(name, choose); // not where the focus only passes
    }
    const drop = byId('drop');
    for (const name of ['dragover', 'dragleave', 'drop']) drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.toggle('over', name === 'dragover'); });
    drop.addEventListener('drop', (event) => { if (event.dataTransfer.files.length) { byId('file').files = event.dataTransfer.files; update(); } });
    update();
    if (byId('pipeline').value) choosePipeline();
  }
  return { start };
})();
