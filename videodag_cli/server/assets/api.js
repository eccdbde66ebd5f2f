// Asking the service: errors are its problem documents; a missing token brings up the form for it.

class Problem extends Error {
  constructor(status, body) {
    super(body.detail || `The service answered ${status}.`);
    this.status = status;
    this.word = body.word ?? '';
  }
}

const ADVICE = {
  'input.not_mp4': 'Choose an MP4 or MOV file.',
  'input.limit': 'Choose a smaller file, or ask whoever runs this service to raise the limit.',
  'output.full': 'The disk of the service is full: remove jobs that are no longer needed, then try again.',
  'service.busy': 'Try again in a moment.',
  'pipeline.unknown': 'Reload the page and choose a pipeline from the list.',
  'stopped.timeout': 'Take fewer frames, or ask for a longer limit.',
  'stopped.memory': 'Take a smaller video, or ask for a higher limit.',
  'input.no_frames': 'Check that the file plays, and that the window holds frames.',
};

// A sentence, and what to do about it.
const sentence = (text) => (/[.!?]$/.test(text) ? text : `${text}.`);

// Text with `code` in it, as nodes.
const withCode = (text) => text.split('`').map((part, place) => (place % 2 ? el('code', {}, part) : part));

function showProblem(error) {
  const box = byId('problem');
  box.hidden = false;
  const advice = ADVICE[error.word] ?? (error instanceof Problem ? '' : 'Check that the service is running, then try again.');
  fill(box, `${sentence(error.message)} `, advice, error.word ? el('span', { class: 'mono small' }, ` [${error.word}]`) : null);
  box.scrollIntoView({ block: 'nearest' });
}

const clearProblem = () => { byId('problem').hidden = true; };

function askForToken() {
  for (const section of document.querySelectorAll('main > section')) section.hidden = true;
  byId('token-form').hidden = false;
  byId('token').focus();
}

byId('token-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const answer = await fetch('/session', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ token: byId('token').value }) });
  if (answer.ok) location.reload();
  else showProblem(new Problem(answer.status, await answer.json().catch(() => ({}))));
});

async function ask(address, options = {}) {
  const answer = await fetch(address, options);
  if (answer.status === 401) askForToken();
  if (!answer.ok) throw new Problem(answer.status, await answer.json().catch(() => ({})));
  return answer.status === 204 ? null : answer.json();
}

const quoted = (text) => (/^[A-Za-z0-9_@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

// The lines for a terminal that do what a form or a job does.
function sameInTerminal(pipeline, options, fileName) {
  const flags = Object.entries(options)
    .filter(([name, value]) => !['set', 'sync'].includes(name) && value !== null && value !== false)
    .map(([name, value]) => `--${name.replaceAll('_', '-')}${value === true ? '' : ` ${quoted(String(value))}`}`);
  const set = Array.isArray(options.set) ? options.set : Object.entries(options.set ?? {}).map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  flags.push(...set.map((text) => `--set ${quoted(text)}`));
  const given = Object.keys(options).length ? ` -F options=${quoted(JSON.stringify(options))}` : '';
  const run = ['videodag run -p', quoted(pipeline), ...flags, quoted(fileName), '-o', quoted(fileName.replace(/\.[A-Za-z0-9]{1,5}$/, '') + '.jsonl')].join(' ');
  const curl = `curl -F pipeline_id=${quoted(pipeline)}${given} -F file=${quoted(`@${fileName}`)} ${location.origin}/video/upload-and-run`;
  return [command(run), command(curl)];
}
