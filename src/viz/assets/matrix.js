/* ---- the alignment matrix: rows are output words, columns source words ---- */
const MANY = 24;  // words of a side; above it labels would not be legible
let geo = null;   // of the drawn matrix
let cur = [null, null];  // row and column that are lit

const map = d => d.attention[0];
const full = d => (d.verdict.name === 'all_equal' ? 1 : Math.max(...map(d).weights.map(largest)));
const places = row => row.indexOf(largest(row));

function labels(g, q, k, s, left, head) {
  geo.cols = k.map((t, j) => g.appendChild(svg('text', {
    transform: `translate(${left + s * j + s / 2 + 4} ${head - 6}) rotate(-55)`,
    text: shortened(t)
  })));
  geo.rows = q.map((t, i) => g.appendChild(svg('text', {
    x: left - 8,
    y: head + s * i + s / 2 + 4.5,
    'text-anchor': 'end',
    text: shortened(t)
  })));
}
const shortened = t => ([...t].length > 18 ? [...t].slice(0, 17).join('') + '…' : t);

function matrix(d) {
  const {query: q, key: k, weights: w} = map(d), box = $('#matrix');
  const many = Math.max(q.length, k.length) > MANY, top = full(d);
  const width = list => Math.max(...list.map(t => pen.measureText(shortened(t)).width));
  const pen = document.createElement('canvas').getContext('2d');
  pen.font = '13px ' + getComputedStyle(document.body).fontFamily;
  const left = many ? 8 : Math.ceil(width(q)) + 12, head = many ? 8 : Math.ceil(.82 * width(k)) + 18;
  const reach = many ? 2 : Math.ceil(.58 * width(k.slice(-1))) + 8;
  const room = (box.clientWidth || 600) - left - reach;
  const s = Math.max(many ? 7 : 20, Math.min(many ? 12 : 34, Math.floor(room / k.length)));
  const g = svg('svg', {
    class: 'matrix',
    width: left + s * k.length + reach,
    height: head + s * q.length + 2,
    tabindex: 0,
    role: 'img',
    'aria-label': `Alignment matrix, ${q.length} rows by ${
        k.length} columns. Arrow keys read it cell by cell.`
  });
  geo = {g, left, head, s, rows: [], cols: []};
  if (!many) labels(g, q, k, s, left, head);
  w.forEach((row, i) => row.forEach((v, j) => g.append(svg('rect', {
    class: 'cell w' + step(v, top),
    x: left + s * j,
    y: head + s * i,
    width: s - (many ? .5 : 1),
    height: s - (many ? .5 : 1)
  }))));
  if (!many)
    w.forEach((row, i) => largest(row) > 0 && g.append(svg('circle', {
      class: 'max',
      cx: left + s * places(row) + s / 2 - .5,
      cy: head + s * i + s / 2 - .5,
      r: 2.5,
      fill: `var(--t${step(largest(row), top)})`
    })));
  g.append(svg('rect', {
    class: 'frame',
    x: left - .5,
    y: head - .5,
    width: s * k.length,
    height: s * q.length
  }));
  reading(d, g);
  clear(box).append(g);
}
/* pointer and keys move one highlight */
function reading(d, g) {
  const {query: q, key: k} = map(d), {left, head, s} = geo;
  const at = e => {
    const r = g.getBoundingClientRect();
    return [Math.floor((e.clientY - r.top - head) / s), Math.floor((e.clientX - r.left - left) / s)];
  };
  g.addEventListener('pointermove', e => {
    const [i, j] = at(e);
    light(i >= 0 && i < q.length ? i : null, j >= 0 && j < k.length ? j : null);
  });
  g.addEventListener('pointerleave', () => light(null, null));
  g.addEventListener('keydown', e => {
    const [i, j] = cur[0] == null ? [null, null] : [cur[0], cur[1] ?? 0];
    const to = {
      ArrowDown: [(i ?? -1) + 1, j ?? 0],
      ArrowUp: [(i ?? 1) - 1, j ?? 0],
      ArrowRight: [i ?? 0, (j ?? -1) + 1],
      ArrowLeft: [i ?? 0, (j ?? 1) - 1],
      Home: [0, 0],
      End: [q.length - 1, k.length - 1]
    }[e.key];
    if (!to || e.altKey || e.ctrlKey || e.metaKey) return;
    e.preventDefault();
    light(Math.max(0, Math.min(q.length - 1, to[0])), Math.max(0, Math.min(k.length - 1, to[1])));
    follow();
  });
}
function follow() {  // what is read stays in sight of a matrix that scrolls
  const box = $('#matrix'), x = geo.left + geo.s * cur[1];
  if (x < box.scrollLeft) box.scrollLeft = x - geo.s;
  if (x + geo.s > box.scrollLeft + box.clientWidth) box.scrollLeft = x + 2 * geo.s - box.clientWidth;
}
function outline(i, j) {  // drawn anew each time, so that a saved picture has none
  const {g, left, head, s} = geo, {query: q, key: k} = map(item);
  for (const n of g.querySelectorAll('.hair')) n.remove();
  const hair = (x, y, width, height) =>
      g.append(svg('rect', {class: 'hair', x, y, width, height}));
  if (i != null) hair(left - 1, head + s * i - 1, s * k.length + 1, s + 1);
  if (j != null) hair(left + s * j - 1, head - 1, s + 1, s * q.length + 1);
  geo.rows.forEach((n, x) => n.classList.toggle('on', x === i));
  geo.cols.forEach((n, x) => n.classList.toggle('on', x === j));
}
function numbersTable(d) {
  const {query: q, key: k, weights: w} = map(d);
  const box = el('details', {id: 'numbers'}, el('summary', {text: 'Numbers as a table'}));
  box.addEventListener('toggle', () => {
    if (!box.open || box.children.length > 1) return;
    box.append(
        el('div', {class: 'wide', tabindex: 0, role: 'region', 'aria-label': 'Weights as a table'},
           el('table', {},
              el('thead', {},
                 el('tr', {}, el('th', {scope: 'col', text: 'output'}),
                    ...k.map(t => el('th', {scope: 'col', class: 'num', text: t})))),
              el('tbody', {},
                 ...q.map((t, i) => el('tr', {}, el('th', {scope: 'row', text: t}),
                                       ...w[i].map(v => el('td', {class: 'num', text: dec(v)}))))))));
  });
  return box;
}
