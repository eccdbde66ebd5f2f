// A pipeline as a drawing: the decoded frame on top, each node below what feeds it. A node opens what its tool does.

(() => {
  const WIDTH = 170;
  const HEIGHT = 46;
  const GAP_X = 22;
  const GAP_Y = 40;
  const AROUND = 34; // beside the nodes, for links that pass some
  const shape = (tag, properties, ...children) => {
    const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
    for (const [name, value] of Object.entries(properties)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  };
  const cut = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);

  class PipelineGraph extends HTMLElement {
    show(graph, tools) {
      if (!graph) { this.replaceChildren(); return; }
      const depth = new Map([[null, 0]]);
      for (const node of graph.nodes) {
        const sources = graph.links.filter((link) => link.to_node === node.id).map((link) => depth.get(link.from_node) ?? 0);
        depth.set(node.id, 1 + Math.max(0, ...sources));
      }
      const levels = [];
      for (const [id, level] of depth) (levels[level] ??= []).push(id);
      const width = Math.max(...levels.map((level) => level.length)) * (WIDTH + GAP_X) - GAP_X + 2 * AROUND;
      const height = levels.length * (HEIGHT + GAP_Y) - GAP_Y + 4;
      const places = new Map();
      levels.forEach((level, row) => level.forEach((id, column) => {
        const left = (width - (level.length * (WIDTH + GAP_X) - GAP_X)) / 2;
        places.set(id, [left + column * (WIDTH + GAP_X), 2 + row * (HEIGHT + GAP_Y)]);
      }));
      const drawing = shape('svg', { viewBox: `0 0 ${width} ${height}`, width, height, role: 'group', 'aria-label': 'The pipeline’s graph' });
      const flows = []; // above all lines
      for (const link of graph.links) {
        const [x1, y1] = places.get(link.from_node);
        const [x2, y2] = places.get(link.to_node);
        const [ax, ay, bx, by] = [x1 + WIDTH / 2, y1 + HEIGHT, x2 + WIDTH / 2, y2];
        const passes = by - ay > GAP_Y + 1 && Math.abs(ax - bx) < WIDTH / 2;
        const side = ax + WIDTH / 2 + AROUND - 10;
        const straight = `M${ax},${ay} C${ax},${ay + GAP_Y / 2} ${bx},${by - GAP_Y / 2} ${bx},${by}`;
        const around = `M${ax + 40},${ay} C${ax + 40},${ay + GAP_Y} ${side},${ay} ${side},${(ay + by) / 2} C${side},${by} ${bx + 40},${by - GAP_Y} ${bx + 40},${by}`;
        drawing.append(shape('path', { d: passes ? around : straight }));
        if (link.from_node !== null && !passes) flows.push(shape('text', { class: 'flow', x: (ax + bx) / 2 + 6, y: (ay + by) / 2 + 4 }, link.type));
      }
      drawing.append(...flows);
      this.about = el('div', { class: 'about', hidden: true, tabIndex: 0, role: 'region', ariaLabel: 'About the tool' });
      this.onkeydown = (event) => { if (event.key === 'Escape') this.close(); };
      for (const [id, [x, y]] of places) {
        const node = graph.nodes.find((found) => found.id === id);
        const label = node ? node.id : 'decoded frame';
        const group = shape('g', { class: node?.is_output ? 'node output' : 'node', transform: `translate(${x},${y})` },
          shape('rect', { width: WIDTH, height: HEIGHT, rx: 7 }), shape('text', { x: 10, y: node ? 19 : 28 }, cut(label, 22)));
        if (node) {
          group.append(' ', shape('text', { class: 'tool', x: 10, y: 36 }, cut(node.tool, 25)), ' ', shape('title', {}, node.summary)); // words apart, for what reads them
          for (const [name, value] of [['tabindex', '0'], ['role', 'button'], ['aria-expanded', 'false'], ['aria-label', `${node.id} ${node.tool} ${node.summary}${node.is_output ? ' An output.' : ''}`]]) group.setAttribute(name, value);
          const open = () => this.open(group, node, tools.find((tool) => tool.id === node.tool));
          group.addEventListener('click', open);
          group.addEventListener('keydown', (event) => { if (event.key === 'Enter' || event.key === ' ') { event.preventDefault(); open(); } });
        }
        drawing.append(group);
      }
      this.replaceChildren(drawing, this.about);
    }

    close() {
      const opened = this.querySelector('.node[aria-expanded="true"]');
      if (this.about.contains(document.activeElement)) opened?.focus();
      opened?.setAttribute('aria-expanded', 'false');
      this.about.hidden = true;
    }

    open(group, node, tool) {
      const closing = group.getAttribute('aria-expanded') === 'true';
      this.close();
      if (closing) return;
      this.about.hidden = false;
      group.setAttribute('aria-expanded', 'true');
      const params = Object.entries(node.params).map(([name, value]) => el('tr', {}, el('td', { class: 'mono' }, name),
        el('td', { class: 'mono' }, JSON.stringify(value)), el('td', { class: 'soft small' }, withCode(tool?.params.find((param) => param.name === name)?.description ?? ''))));
      fill(this.about, el('b', {}, node.tool), ' ', el('span', {}, withCode(tool?.doc ?? node.summary)), el('table', {}, el('tbody', {}, params)));
    }
  }
  customElements.define('pipeline-graph', PipelineGraph);
})();
