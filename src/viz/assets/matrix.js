/* ---- the matrix of weights ---- */
const MANY = 24;     // words of a side; above it labels would not be legible
const MOST = 5000;   // cells; above it they are painted on a canvas
let geo = null;   // of the drawn matrix
let cur = [null, null];  // row and column that are lit

const shortened = t => ([...t].length > 18 ? [...t].slice(0, 17).join('') + '…' : t);
/* The four largest of the weights over these words, each with its number. */
const mostSeen = (row, words) => row.map((w, x) => [w ?? 0, x])
                                      .filter(([w]) => w > 0)
                                      .sort((a, b) => b[0] - a[0])
                                      .slice(0, 4)
                                      .map(([w, x]) => `${named(words[x])} ${dec(w)}`);
const places = row => row.indexOf(largest(row));

/* The first row that may look at column j: there the column begins, under its label. */
const begins = (d, j) => asked(d).findIndex((_, i) => reach(d, i) > j);

function labels(d, g) {
  const {query: q, key: k} = map(d), {left, head, s} = geo;
  geo.cols = k.map((t, j) => g.appendChild(svg('text', {
    transform: `translate(${left + s * j + s / 2 + 4} ${head + s * begins(d, j) - 6}) rotate(-55)`,
    text: shortened(named(t))
  })));
  geo.rows = q.map((t, i) => g.appendChild(svg('text', {
    x: left - 8,
    y: head + s * i + s / 2 + 4.5,
    'text-anchor': 'end',
    text: shortened(named(t))
  })));
}
/* Room for the labels: they lean by 55°, so they rise by sin 55° of their length and reach cos 55° of it to the right. */
function laidOut(d, room) {
  const {query: q, key: k} = map(d);
  if (Math.max(q.length, k.length) > MANY) {
    const s = Math.max(7, Math.min(12, Math.floor((room - 10) / k.length)));
    return {left: 8, head: 8, s, width: 10 + s * k.length};
  }
  const pen = document.createElement('canvas').getContext('2d');
  pen.font = '13px ' + getComputedStyle(document.body).fontFamily;
  const width = t => pen.measureText(shortened(named(t))).width;
  const left = Math.ceil(Math.max(...q.map(width))) + 12;
  const size = right => Math.max(20, Math.min(34, Math.floor((room - left - right) / k.length)));
  const over = s => Math.max(...k.map((t, j) => Math.ceil(.58 * width(t)) + 8 - s * (k.length - 1 - j)));
  const s = size(over(size(over(34)))), rise = k.map((t, j) => .82 * width(t) - s * begins(d, j));
  return {left, head: Math.ceil(Math.max(0, ...rise)) + 18, s, width: left + s * k.length + over(s)};
}
function cells(d, paint) {
  const many = geo.rows.length === 0, size = geo.s - (many ? .5 : 1);
  map(d).weights.forEach((row, i) => row.forEach((v, j) => {
    if (v != null) paint(geo.left + geo.s * j, geo.head + geo.s * i, size, step(v, full(d, i)));
  }));
}
/* What a canvas shows has no class: its colours are those of the scheme when it is painted. */
function canvas(d, width, height) {
  const c = el('canvas', {width: 2 * width, height: 2 * height, at: {width: width + 'px', height: height + 'px'}});
  painters.set(c, () => {
    const g = c.getContext('2d'), style = getComputedStyle(c), shades = [];
    for (let k = 0; k <= STEPS; k++) shades.push(style.getPropertyValue('--w' + k));
    g.setTransform(2, 0, 0, 2, 0, 0);
    g.clearRect(0, 0, width, height);
    cells(d, (x, y, size, k) => {
      g.fillStyle = shades[k];
      g.fillRect(x, y, size, size);
    });
  });
  return c;
}
function matrix(d) {
  const {query: q, key: k, weights: w} = map(d), box = $('#matrix');
  const place = laidOut(d, box.clientWidth || 600), {left, head, s, width} = place;
  const height = head + s * q.length + 2, many = Math.max(q.length, k.length) > MANY;
  const g = svg('svg', {
    class: 'matrix',
    width,
    height,
    tabindex: 0,
    role: 'img',
    'aria-label': `${SAYS.matrix}, ${q.length} rows by ${
        k.length} columns. Arrow keys read it cell by cell.`
  });
  geo = {g, left, head, s, rows: [], cols: []};
  if (!many) labels(d, g);
  const large = q.length * k.length > MOST;
  if (!large)
    cells(d, (x, y, size, k) => g.append(svg('rect', {class: 'cell w' + k, x, y, width: size, height: size})));
  if (!many)
    w.forEach((row, i) => largest(row) > 0 && g.append(svg('circle', {
      class: 'max',
      cx: left + s * places(row) + s / 2 - .5,
      cy: head + s * i + s / 2 - .5,
      r: 2.5,
      fill: `var(--t${step(largest(row), full(d, i))})`
    })));
  const edge = q.map((_, i) => `H${left + s * reach(d, i) - .5}V${head + s * (i + 1) - .5}`);
  g.append(svg('path', {class: 'frame', d: `M${left - .5} ${head - .5}${edge.join('')}H${left - .5}Z`}));
  pointing(d, g);
  clear(box).append(el('div', {class: 'cells'}, large ? canvas(d, width, height) : '', g));
  repaint(box);
}
/* pointer and keys move one highlight */
function pointing(d, g) {
  const rows = asked(d).length, {left, head, s} = geo;
  const at = e => {
    const r = g.getBoundingClientRect();
    return [Math.floor((e.clientY - r.top - head) / s), Math.floor((e.clientX - r.left - left) / s)];
  };
  g.addEventListener('pointermove', e => {
    const [i, j] = at(e), row = i >= 0 && i < rows ? i : null;
    light(row, j >= 0 && j < (row == null ? map(d).key.length : reach(d, row)) ? j : null);
  });
  g.addEventListener('pointerleave', () => rest());
  g.addEventListener('keydown', e => {
    const [i, j] = cur[0] == null ? [null, null] : [cur[0], cur[1] ?? 0];
    const to = {
      ArrowDown: [(i ?? -1) + 1, j ?? 0],
      ArrowUp: [(i ?? 1) - 1, j ?? 0],
      ArrowRight: [i ?? 0, (j ?? -1) + 1],
      ArrowLeft: [i ?? 0, (j ?? 1) - 1],
      Home: [0, 0],
      End: [rows - 1, Infinity]
    }[e.key];
    if (!to || e.altKey || e.ctrlKey || e.metaKey) return;
    e.preventDefault();
    const row = Math.max(0, Math.min(rows - 1, to[0]));
    light(row, Math.max(0, Math.min(reach(d, row) - 1, to[1])));
    follow();
  });
}
function follow() {  // what is read stays in sight of a matrix that scrolls
  const box = $('#matrix'), x = geo.left + geo.s * cur[1];
  if (x < box.scrollLeft) box.scrollLeft = x - geo.s;
  if (x + geo.s > box.scrollLeft + box.clientWidth) box.scrollLeft = x + 2 * geo.s - box.clientWidth;
}
function outline(i, j) {  // drawn anew each time, so that a saved picture has none
  const {g, left, head, s} = geo, rows = asked(item).length;
  for (const n of g.querySelectorAll('.hair')) n.remove();
  const hair = (x, y, width, height) =>
      g.append(svg('rect', {class: 'hair', x, y, width, height}));
  if (i != null) hair(left - 1, head + s * i - 1, s * reach(item, i) + 1, s + 1);
  const top = begins(item, j);
  if (j != null) hair(left + s * j - 1, head + s * top - 1, s + 1, s * (rows - top) + 1);
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
                 el('tr', {}, el('th', {scope: 'col', text: SAYS.row}),
                    ...k.map(t => el('th', {scope: 'col', class: 'num', text: named(t)})))),
              el('tbody', {},
                 ...q.map((t, i) => el('tr', {}, el('th', {scope: 'row', text: named(t)}),
                                       ...w[i].map(v => el('td', {class: 'num', text: dec(v)}))))))));
  });
  return box;
}
/* The readout stands over the matrix, unless the page has one that serves all its figures. */
function looked(d) {
  const box = clear($('#looked')), line = $('#readout') ? '' : readout();
  if (!map(d)) {
    box.append(
        el('h2', {id: 'h-matrix', text: 'What it looked at'}),
        el('p', {class: 'note small', text: SAYS.missing}), line);
    return;
  }
  const {query: q, key: k, weights: w} = map(d), many = Math.max(q.length, k.length) > MANY;
  const fig = el('figure', {id: 'matrix', 'data-name': SAYS.figure});
  box.append(
      el('div', {class: 'fig-head'}, el('h2', {id: 'h-matrix', text: 'What it looked at'}),
         saver(fig, `attend-${SAYS.file}-${d.id}`,
               () => [[SAYS.row, ...k], ...q.map((t, i) => [t, ...w[i]])], () => d)),
      el('p', {
        class: 'small',
        text: SAYS.sides + ' ' +
            (many ? 'Too many words for labels: point, or use the arrow keys; the line above names the words.' :
                    'Dot: the largest weight of each row.')
      }),
      el('div', {class: 'legend'}, SAYS.scale(d)), line, fig, numbersTable(d));
  matrix(d);
}
let wait;
addEventListener('resize', () => {
  clearTimeout(wait);
  wait = setTimeout(() => {
    if (!item || !map(item)) return;
    matrix(item);
    rest();
  }, 120);
});
