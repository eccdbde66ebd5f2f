// The list of jobs, and the table of a job's frames.

(() => {
  const ROWS = 25;

  class JobList extends HTMLElement {
    async start() {
      this.rows = el('tbody', { role: 'rowgroup' });
      this.more = el('button', { class: 'quiet more', type: 'button', hidden: true }, 'Show more');
      this.more.addEventListener('click', () => this.load(this.next).catch(showProblem));
      const head = ['Video', 'Pipeline', 'Status', 'Sent'].map((name) => el('th', { role: 'columnheader' }, name));
      const rows = el('thead', { role: 'rowgroup' }, el('tr', { role: 'row' }, head));
      this.replaceChildren(el('div', { class: 'scroll' }, el('table', { class: 'list', role: 'table' }, rows, this.rows)), this.more); // roles, because phones lay it out otherwise
      await this.load('/video/jobs?limit=20');
      if (!this.rows.children.length) this.replaceChildren(empty('No job yet.'));
    }

    async load(address) {
      const page = await ask(address);
      this.next = page.next;
      this.more.hidden = !page.next;
      this.rows.append(...page.jobs.map((job) => el('tr', { role: 'row' },
        el('td', { class: 'text', role: 'cell' }, el('a', { class: 'frame-link', href: `/?job=${job.job_id}` }, job.file_name)), el('td', { class: 'what', role: 'cell' }, job.pipeline_id),
        el('td', { class: `state-${job.status}`, role: 'cell' }, job.status + (job.exit_code ? ` (exit code ${job.exit_code})` : '')), el('td', { class: 'num', role: 'cell' }, new Date(job.created_at).toLocaleString()))));
    }
  }
  customElements.define('job-list', JobList);

  class FrameTable extends HTMLElement {
    show() {
      this.first = 0;
      this.draw();
      on('thresholds', throttled(() => this.draw()));
      on('line', throttled(() => { this.first = Math.floor(state.line / ROWS) * ROWS; this.draw(); }));
    }

    draw() {
      const numbers = DATA.numbers.slice(0, 6);
      const head = [['Frame', 'num'], ['Time', 'num'], ...DATA.boxes.map((boxes) => [boxes.path, 'num']), ...numbers.map((n) => [n.path, 'num'])];
      const last = Math.min(lineCount(), this.first + ROWS);
      const rows = [];
      for (let line = this.first; line < last; line++) {
        const cells = DATA.boxes.map((boxes) => {
          const [from, to] = boxRange(boxes, line);
          let kept = 0;
          for (let box = from; box < to; box++) kept += keeps(boxes, box, state.thresholds[boxes.path] - 1e-6);
          return DATA.frames.ok[line] ? kept : 'failed';
        });
        const link = el('a', { class: 'frame-link', href: '#frames' }, count(DATA.frames.index[line]));
        link.addEventListener('click', (event) => { event.preventDefault(); choose(line); byId('frames').scrollIntoView(); });
        rows.push(el('tr', { class: line === state.line ? 'chosen' : '' }, el('td', { class: 'num' }, link), el('td', { class: 'num' }, clock(DATA.frames.time_s[line])),
          cells.map((cell) => el('td', { class: 'num' }, String(cell))), numbers.map((n) => el('td', { class: 'num' }, number(n.values[line])))));
      }
      const go = (first, name, disabled) => {
        const button = el('button', { class: 'quiet', type: 'button', disabled }, name);
        button.addEventListener('click', () => { this.first = first; this.draw(); });
        return button;
      };
      const pager = el('div', { class: 'pager' }, go(Math.max(0, this.first - ROWS), 'Earlier', this.first === 0), go(last, 'Later', last >= lineCount()),
        el('span', { class: 'soft num' }, `${count(this.first + 1)} to ${count(last)} of ${count(lineCount())}`));
      this.replaceChildren(table(head, rows), pager);
    }
  }
  customElements.define('frame-table', FrameTable);
})();
