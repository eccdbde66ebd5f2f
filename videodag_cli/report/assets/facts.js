// The parts that are text: heading, key figures, accounting, events, failures, timings, the run.

function drawHeading() {
  byId('title').textContent = DATA.title;
  byId('subtitle').textContent = DATA.subtitle;
  byId('foot').textContent = DATA.foot;
  fill(byId('remarks'), DATA.remarks.map((text) => el('p', { class: 'notice' }, text)));
  const sections = [
    ['frames', 'Frames', DATA.pictures.length], ['timelines', 'Timelines'], ['events', 'Events', DATA.spans.length + DATA.spans_omitted],
    ['failures', 'Failed frames', failedCount()], ['nodes', 'Time per node'], ['run', 'Run'],
  ];
  fill(byId('nav'), sections.map(([id, name, n]) => el('a', { href: `#${id}` }, name, n !== undefined && el('span', { class: 'num' }, count(n)))));
}


function drawKeyFigures() {
  const lines = lineCount();
  const failed = failedCount();
  const account = DATA.record?.accounting;
  const times = DATA.frames.time_s;
  const tracks = DATA.boxes.filter((b) => b.has_ids);
  const figure = (name, value, note, bad) => el('div', { class: bad ? 'bad' : '' }, el('dt', {}, name), el('dd', {}, value), el('dd', {}, note));
  const wall = DATA.record?.wall_time_s;
  fill(
    byId('key-figures'),
    figure('Frames', count(lines), lines ? `${count(DATA.frames.index[0])} to ${count(DATA.frames.index[lines - 1])}` : 'no lines'),
    figure('Failed', count(failed), failed ? Object.keys(DATA.failures_by_node).join(', ') : 'no node failed', failed > 0),
    figure('Not decodable', account ? count(account.undecodable) : '–', account ? (account.undecodable ? `first at ${clock(account.first_missing_time_s)}` : 'none was lost') : 'needs the run record', account?.undecodable > 0),
    figure('Span', lines ? clock(times[lines - 1] - times[0], 1) : '–', lines ? `${clock(times[0])} to ${clock(times[lines - 1])}` : ''),
    ...tracks.slice(0, 1).map((b) => figure('Tracks', count(new Set(b.tracker_id).size - (b.tracker_id.includes(-1) ? 1 : 0)), `distinct ids in ${b.path}`)),
    figure('Run time', wall === undefined ? '–' : `${short(wall)} s`, wall === undefined ? 'needs the run record' : `${short(account.sampled / wall)} frames per second`),
  );
}

function drawAccounting() {
  const account = DATA.record?.accounting;
  if (!account) return;
  const parts = [['ok', account.ok, 'good'], ['failed', account.failed, 'bad'], ['undecodable', account.undecodable, 'warn']];
  const total = Math.max(1, account.sampled);
  fill(
    byId('accounting'),
    el('div', { class: 'bar', role: 'img', 'aria-label': 'sampled = ok + failed + undecodable' },
      parts.filter(([, n]) => n).map(([, n, kind]) => el('span', { class: `swatch-${kind}`, 'width%': (100 * n) / total }))),
    el('div', { class: 'keys' },
      el('span', {}, el('b', {}, count(account.sampled)), ' sampled ='),
      parts.map(([name, n, kind]) => el('span', { class: `key swatch-${kind}` }, el('b', {}, count(n)), ` ${name}`)),
      account.not_examined ? el('span', { class: 'key swatch-none' }, el('b', {}, count(account.not_examined)), ' not examined') : null),
  );
}

const KINDS = { flag: 'Flags', text: 'Texts', event: 'Events' };
const LISTED = 25;

function drawEvents() {
  const body = byId('events-body');
  const spans = DATA.spans.map(([output, kind, label, start_s, end_s, frame, frames]) => ({ output, kind, label, start_s, end_s, frame, frames }));
  if (!spans.length) {
    fill(body, empty(DATA.flags.length ? 'Nothing happened: no flag was ever true, no text was seen, no event was reported.' : 'This run has no output that reports events.'));
    return;
  }
  const outputs = [...new Set(spans.map((s) => s.output))];
  let chosen = null;
  let shown = LISTED;
  const chips = el('div', { class: 'chips' });
  const list = el('div');
  const draw = () => {
    const wanted = spans.filter((s) => chosen === null || s.output === chosen);
    fill(chips, [null, ...outputs].map((output) => el(
      'button', { class: 'chip', type: 'button', 'aria-pressed': String(output === chosen), onclick: () => { chosen = output; shown = LISTED; draw(); } },
      output ?? 'All', el('span', { class: 'num' }, count(output === null ? spans.length : spans.filter((s) => s.output === output).length)),
    )));
    const rows = wanted.slice(0, shown).map((s) => el('tr', {},
      el('td', { class: 'num' }, clock(s.start_s)), el('td', { class: 'num' }, `${(s.end_s - s.start_s).toFixed(2)} s`),
      el('td', { class: 'num' }, frameLink(lineAtFrame(s.frame))),
      el('td', { class: 'text' }, s.kind === 'flag' ? 'true' : s.label), el('td', {}, s.output), el('td', { class: 'num' }, count(s.frames))));
    const head = [['start', 'num'], ['length', 'num'], ['frame', 'num'], ['what'], ['output'], ['frames', 'num']];
    const rest = wanted.length - shown;
    fill(list, table(head, rows),
      rest > 0 ? el('button', { class: 'quiet more', type: 'button', onclick: () => { shown += 250; draw(); } }, `Show ${count(Math.min(rest, 250))} more of ${count(wanted.length)}`) : null,
      DATA.spans_omitted ? el('p', { class: 'soft small more' }, `${plural(DATA.spans_omitted, 'later event')} left out of this page.`) : null);
  };
  draw();
  fill(body, outputs.length > 1 ? chips : null, list);
}

function drawFailures() {
  const body = byId('failures-body');
  const total = failedCount();
  if (!total) { fill(body, empty('No frame failed.')); return; }
  const nodes = Object.entries(DATA.failures_by_node).map(([node, n]) => `${node}: ${count(n)}`).join(', ');
  let shown = 50;
  const draw = () => {
    const rows = DATA.failures.slice(0, shown).map((f) => el('tr', {},
      el('td', { class: 'num' }, frameLink(f.line)), el('td', { class: 'num' }, clock(DATA.frames.time_s[f.line])),
      el('td', {}, f.node), el('td', {}, f.tool), el('td', {}, f.type), el('td', { class: 'text' }, f.message)));
    const rest = DATA.failures.length - shown;
    fill(body, el('p', { class: 'soft more' }, `${plural(total, 'frame')} without a result (${nodes}).`),
      el('div', { class: 'more' }, table([['frame', 'num'], ['time', 'num'], ['node'], ['tool'], ['error'], ['message']], rows)),
      rest > 0 ? el('button', { class: 'quiet more', type: 'button', onclick: () => { shown += 500; draw(); } }, `Show ${count(Math.min(rest, 500))} more`) : null,
      total > DATA.failures.length ? el('p', { class: 'soft small more' }, `The first ${count(DATA.failures.length)} are listed.`) : null);
  };
  draw();
}

function drawNodes() {
  const nodes = Object.entries(DATA.record?.nodes ?? {});
  if (!nodes.length) {
    fill(byId('nodes-body'), empty('Timings are in the run record, which was not found beside the results.'));
    return;
  }
  nodes.sort((a, b) => b[1].mean_ms * b[1].count - a[1].mean_ms * a[1].count);
  const reach = Math.max(...nodes.map(([, t]) => t.p95_ms), 1e-9);
  const tools = DATA.record.request?.tools ?? {};
  const rows = nodes.map(([node, t]) => el('tr', {},
    el('td', {}, node), el('td', { class: 'soft' }, tools[node]?.tool ?? ''),
    el('td', { class: 'num' }, count(t.count)), el('td', { class: 'num' }, t.mean_ms.toFixed(2)), el('td', { class: 'num' }, t.p50_ms.toFixed(2)),
    el('td', { class: 'num' }, t.p95_ms.toFixed(2)),
    el('td', { class: 'meter' }, el('div', {}, el('i', { class: 'reach', 'width%': (100 * t.p95_ms) / reach }), el('i', { 'width%': (100 * t.p50_ms) / reach }))),
    el('td', { class: 'num' }, `${((t.mean_ms * t.count) / 1000).toFixed(2)} s`)));
  const profile = Object.entries(DATA.record.profile ?? {});
  fill(byId('nodes-body'),
    table([['node'], ['tool'], ['calls', 'num'], ['mean ms', 'num'], ['p50 ms', 'num'], ['p95 ms', 'num'], ['p50, p95'], ['in all', 'num']], rows),
    profile.length ? el('p', { class: 'soft small more' }, `Where the run's time went: ${profile.map(([name, s]) => `${name} ${short(s)} s`).join(', ')}.`) : null);
}

// `30000/1001` as a number with the fraction beside it.
function rate(text) {
  const [above, below = '1'] = String(text).split('/');
  return below === '1' ? above : `${short(above / below, 5)} (${text})`;
}

function drawRun() {
  const body = byId('run-body');
  const record = DATA.record;
  const facts = (name, rows, more) => el('div', { class: 'card' }, el('h3', {}, name),
    el('table', {}, el('tbody', {}, rows.filter(([, value]) => value !== null && value !== undefined && value !== '').map(([key, value]) => el('tr', {}, el('td', {}, key), el('td', {}, value))))), more);
  const rowsOf = (rows) => el('table', {}, el('tbody', {}, rows.map(([k, v]) => el('tr', {}, el('td', {}, k), el('td', {}, v)))));
  const folded = (name, rows) => (rows.length ? el('details', {}, el('summary', {}, name), rowsOf(rows)) : null);
  const packages = Object.entries(record?.packages ?? {});
  const cards = [facts('Results', [['file', DATA.results], ['lines', count(lineCount())], ...Object.entries(DATA.tags).map(([k, v]) => [`tag ${k}`, String(v)])],
    packages.length ? [el('h3', {}, 'Packages'), rowsOf(packages)] : null)];
  if (record) {
    const { request, input } = record;
    const video = input.video ?? {};
    const decoder = record.decoder ?? input.decoder;
    const flat = (object) => Object.entries(object ?? {}).filter(([, v]) => v !== null && v !== '').map(([k, v]) => [k, typeof v === 'object' ? JSON.stringify(v) : String(v)]);
    const params = Object.entries(request.params ?? {}).flatMap(([node, values]) => flat(values).map(([k, v]) => [`${node}.${k}`, v]));
    cards.push(
      facts('Input', [
        ['file', input.path], ['size', bytes(input.size)], ['picture', video.width ? `${video.width} × ${video.height}` : null],
        ['codec', [video.codec, video.profile, video.pixel_format].filter(Boolean).join(', ')],
        ['frame rate', video.frame_rate ? `${rate(video.frame_rate)}${video.variable_frame_rate ? ', variable' : ''}` : null],
        ['frames', video.frame_count === undefined ? null : count(video.frame_count)],
        ['duration', video.duration_s === undefined ? null : clock(video.duration_s)],
        ['decoder', decoder ? `${decoder.name}: ${decoder.reason}` : null], ['notes', (video.notes ?? []).join(' ')], ['sha256', (input.sha256 ?? '').replace('sha256:', '')],
      ], folded('more facts', flat(video))),
      facts('Pipeline', [['id', request.pipeline?.id], ['file', request.pipeline?.path], ['digest', request.pipeline?.digest], ['sampling', flat(request.sampling).map(([k, v]) => `${k} ${v}`).join(', ') || 'every frame'],
        ['status', record.status], ['exit code', String(record.exit_code)]],
      folded(plural(params.length, 'parameter'), params)),
    );
    const problems = record.problems ?? [];
    if (problems.length) cards.push(el('div', { class: 'card' }, el('h3', {}, 'Problems of the file'), problems.map((p) => el('p', { class: 'small' }, p))));
  } else {
    cards.push(el('div', { class: 'card' }, el('h3', {}, 'Run record'), el('p', { class: 'soft' },
      'There is no run record beside the results. Missing for that reason: input, pipeline, parameters, package versions, accounting of frames that could not be decoded, timings.')));
  }
  fill(body, el('div', { class: 'facts' }, cards));
}
