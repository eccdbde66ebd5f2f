// Puts the page together: the form and the list of jobs, or one job as it runs and what came of it.

(() => {
  let drawn = false;

  function progressText(job) {
    const { frames_done: done, frames_expected: total, frames_per_s: rate, eta_s: eta } = job.progress;
    if (job.status === 'queued') return job.jobs_ahead ? `${plural(job.jobs_ahead, 'job')} before it` : 'starts soon';
    if (job.status !== 'running') return total === null ? '' : `${count(done)} of ${plural(total, 'frame')}`;
    if (total === null) return 'reading the video';
    return [`${count(done)} of ${plural(total, 'frame')}`, rate ? `${short(rate)} frames/s` : '', eta === null ? '' : `${clock(eta, 0)} left`].filter(Boolean).join(', ');
  }

  function showJob(job) {
    const active = job.status === 'queued' || job.status === 'running';
    byId('job').hidden = false;
    byId('job-name').textContent = job.file_name;
    document.title = `${job.file_name} – videodag`;
    byId('job-what').textContent = `${job.pipeline_id} · ${bytes(job.file_bytes)} · ${new Date(job.created_at).toLocaleString()}`;
    byId('job-status').textContent = job.cancelling ? 'stopping' : job.status;
    byId('job-status').className = `state-${job.status}`;
    byId('job-text').textContent = progressText(job);
    const bar = byId('job-progress');
    bar.hidden = !active;
    if (!job.progress.frames_expected) bar.removeAttribute('value');
    else bar.value = job.progress.frames_done / job.progress.frames_expected;
    const leaves = !active && document.activeElement === byId('cancel');
    byId('remove').hidden = active;
    if (leaves) byId('remove').focus(); // a focus that is hidden is lost
    byId('cancel').hidden = !active;
    byId('cancel').ariaDisabled = String(job.cancelling);
    byId('job-error').hidden = !job.error;
    if (job.error) fill(byId('job-error'), `${sentence(job.error.detail)} `, ADVICE[job.error.word] ?? '', el('span', { class: 'mono small' }, ` [${job.error.word}]`));
    fill(byId('job-same'), sameInTerminal(job.pipeline_id, job.options, job.file_name));
    if (job.status !== 'completed') return;
    const link = (format, text) => el('a', { class: 'button', href: `${job.results_url}?format=${format}`, download: '' }, text);
    byId('downloads').hidden = false;
    fill(byId('downloads'), link('jsonl', 'Download JSONL'), link('csv', 'CSV by frame'), link('csv&table=detections', 'CSV by box'), link('csv&table=tracks', 'CSV by track'));
    if (drawn) return;
    drawn = true;
    player.start(job).catch(showProblem);
  }

  async function watch(id) {
    const job = await ask(`/video/jobs/${id}`);
    showJob(job);
    byId('cancel').addEventListener('click', () => byId('cancel').ariaDisabled !== 'true' && ask(`/video/jobs/${id}`, { method: 'DELETE' }).then((found) => found && showJob(found), showProblem));
    byId('remove').addEventListener('click', () => ask(`/video/jobs/${id}`, { method: 'DELETE' }).then(() => location.assign('/'), showProblem));
    if (job.status !== 'queued' && job.status !== 'running') return;
    const events = new EventSource(`/video/jobs/${id}/events`);
    events.addEventListener('job', async ({ data }) => {
      const found = JSON.parse(data);
      if (found.status === 'queued' || found.status === 'running') { showJob(found); return; }
      events.close();
      showJob(await ask(`/video/jobs/${id}`).catch(() => found));
    });
  }

  async function start() {
    followTheme();
    const id = new URLSearchParams(location.search).get('job');
    if (id) await watch(encodeURIComponent(id));
    else {
      await form.start();
      byId('list').hidden = false;
      await byId('jobs').start();
      document.documentElement.dataset.ready = 'yes';
    }
  }

  start().catch((error) => { if (error.status !== 401) showProblem(error); });
})();
