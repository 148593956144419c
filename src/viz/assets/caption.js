/* ---- the page draws itself ---- */
const R = D.run, find = id => D.items.find(d => d.id === Number(id));
const SIGMA = 1.25, OPAQUE = .88;  // the Gaussian in places; the veil where the weight is 0
const SMALL = 200;                 // an image of fewer pixels a side shows its pixels
let item = find(state.s) || D.items[0], mode = state.map || 'smooth', word = Number(state.w) || 0;

const bits = row => row.reduce((h, p) => (p > 0 ? h - p * Math.log2(p) : h), 0);
const maps = d => d.attention[0].weights, side = d => d.attention[0].side;
const peak = row => row.indexOf(Math.max(...row));
const mark = () => {};  // save.js: nothing is lit for a moment only

/* The middle of the place that a word looks at most, in pixels of the image, and the weight there. */
function target(d, k) {
  const n = side(d), i = peak(maps(d)[k]), [w, h] = d.input.size;
  return {
    x: (i % n + .5) * w / n,
    y: (Math.floor(i / n) + .5) * h / n,
    column: i % n + 1,
    row: Math.floor(i / n) + 1,
    weight: maps(d)[k][i]
  };
}
/* true, false, or null where nothing is known of what the word names */
function hits(d, k) {
  const b = d.boxes[k], t = target(d, k);
  return b && t.x >= b[0] && t.x < b[0] + b[2] && t.y >= b[1] && t.y < b[1] + b[3];
}

/* ---- the veil is paper: where a weight is large the picture keeps its own colours ---- */
function gaussians(n, pixels) {
  return Array.from({length: pixels}, (_, i) => {
    const u = (i + .5) / pixels * n - .5;
    const row = Array.from({length: n}, (_, c) => Math.exp(-(((u - c) / SIGMA) ** 2) / 2));
    const total = row.reduce((a, b) => a + b, 0);
    return row.map(g => g / total);
  });
}
function smoothed(map, n, pixels) {  // square: the canvas is stretched over the image
  const g = gaussians(n, pixels);
  const rows = Array.from(
      {length: n}, (_, r) => g.map(k => k.reduce((s, v, c) => s + v * map[r * n + c], 0)));
  const out = [];
  for (const k of g)
    for (let x = 0; x < pixels; x++) out.push(k.reduce((s, v, r) => s + v * rows[r][x], 0));
  return out;
}
function veil(d, k, pixels) {
  const n = side(d), cells = mode === 'cells', size = cells ? n : pixels;
  const c = el('canvas', {width: size, height: size, class: cells ? 'cells' : null});
  const values = cells ? maps(d)[k] : smoothed(maps(d)[k], n, size), top = Math.max(...values);
  painters.set(c, () => {
    const g = c.getContext('2d'), px = g.createImageData(size, size);
    const paper = getComputedStyle(c).getPropertyValue('--paper').match(/\w\w/g);
    const rgb = paper.map(h => parseInt(h, 16));
    values.forEach((v, i) => px.data.set([...rgb, 255 * OPAQUE * (top > 0 ? 1 - v / top : 1)], 4 * i));
    g.putImageData(px, 0, 0);
  });
  return c;
}
function marks(d, k) {
  const [w, h] = d.input.size, t = target(d, k), b = d.boxes[k], arm = Math.max(w, h) / 32;
  const m = svg('svg', {viewBox: `0 0 ${w} ${h}`, preserveAspectRatio: 'none', 'aria-hidden': 'true'});
  const line = {fill: 'none', 'vector-effect': 'non-scaling-stroke'};
  if (b)
    for (const [stroke, width, dash] of [['#fff', 3, null], ['#000', 1.25, '4 3']])
      m.append(svg('rect', {
        ...line,
        x: b[0],
        y: b[1],
        width: b[2],
        height: b[3],
        stroke,
        'stroke-width': width,
        'stroke-dasharray': dash
      }));
  for (const [stroke, width] of [['#fff', 4], ['#000', 1.5]])
    m.append(svg('path', {
      ...line,
      d: `M${t.x - arm} ${t.y}h${2 * arm}M${t.x} ${t.y - arm}v${2 * arm}`,
      stroke,
      'stroke-width': width
    }));
  return m;
}
function picture(d, k, pixels, marked) {
  const [w, h] = d.input.size;
  return el(
      'div', {class: 'pic', at: {'aspect-ratio': `${w} / ${h}`}},
      el('img', {src: d.input.png, alt: '', class: Math.max(w, h) < SMALL ? 'small' : null}),
      mode === 'none' ? '' : veil(d, k, pixels), marked ? marks(d, k) : '');
}

/* ---- one word ---- */
function show(k) {
  const d = item, w = d.output.tokens[k], big = clear($('#big'));
  word = k;
  remember('w', k);
  big.append(picture(d, k, 168, true));
  big.setAttribute('role', 'img');
  big.setAttribute('aria-label', `Map for “${w}”`);
  repaint(big);
  for (const [box, attribute] of [['#words', 'aria-selected'], ['#strip', 'aria-pressed']]) {
    const all = [...$(box).children];
    all.forEach((n, i) => n.setAttribute(attribute, String(i === k)));
    oneStop(all, all[k]);
  }
  document.querySelectorAll('#table tbody tr')
      .forEach((n, i) => n.setAttribute('aria-current', String(i === k)));
  const t = target(d, k), hit = hits(d, k);
  clear($('#readout'))
      .append(
          el('b', {text: `“${w}” `}),
          `largest weight ${dec(t.weight, 3)} at column ${t.column}, row ${t.row} of ${side(d)} (cross). `,
          hit == null ? '' :
              hit     ? 'It lies in the box of what the word names (dashed).' :
                        'It lies outside the box of what the word names (dashed).');
}
const sign = hit => (hit == null ? '' : hit ? ' ✓' : ' ✗');

/* ---- one caption ---- */
function captionWords(d) {
  const box = clear($('#words'));
  d.output.tokens.forEach((w, k) => {
    const n = el('span', {role: 'option', tabindex: -1, text: w, onclick: () => show(k)});
    n.addEventListener('pointerenter', () => show(k));
    box.append(n, ' ');
  });
}
function strip(d) {
  const box = clear($('#strip'));
  d.output.tokens.forEach((w, k) => {
    const hit = hits(d, k);
    box.append(el(
        'button', {
          type: 'button',
          tabindex: -1,
          onclick: () => show(k),
          'aria-label': `${k + 1}, ${w}${
              hit == null ? '' :
                  hit     ? ', largest weight in its box' :
                            ', largest weight outside its box'}`
        },
        picture(d, k, 56, false), el('span', {text: w}),
        el('span', {class: hit === false ? 'micro bad' : 'micro', text: `${bits(maps(d)[k]).toFixed(1)} bits${sign(hit)}`})));
  });
  $('#under').textContent = 'Under each word: entropy of its map.' +
      (d.boxes.some(b => b) ?
           ' ✓ or ✗ where the word names something: the largest weight lies in its box or not.' :
           '');
  repaint(box);
}
function verdict(d) {
  const note = {maps_alike: 'note warn', maps_differ: 'note', one_word: 'note'}[d.verdict.name];
  clear($('#verdict'))
      .append(
          el('div', {class: note, id: 'alike'}, el('p', {class: 'lead', text: d.verdict.lead}),
             el('p', {class: 'small', text: d.verdict.why})));
}
function table(d) {
  const most = 2 * Math.log2(side(d)), body = el('tbody');
  const head = (text, kind) => el('th', {scope: 'col', class: kind, text});
  d.output.tokens.forEach((w, k) => {
    const h = bits(maps(d)[k]), hit = hits(d, k);
    body.append(
        el('tr', {}, el('th', {scope: 'row', text: w}),
           el('td', {class: 'num', text: dec(d.probability && d.probability[k])}),
           el('td', {class: 'num', text: dec(d.gate && d.gate[k])}),
           el('td', {},
              el('div', {class: 'meter', 'aria-hidden': 'true'},
                 el('i', {class: 'pos', at: {left: 0, width: `${100 * h / Math.max(most, 1e-9)}%`}}))),
           el('td', {class: 'num', text: h.toFixed(1)}),
           el('td', {}, el('span', {
                class: hit === false ? 'bad' : 'small',
                text: hit == null ? '–' : hit ? '✓ in box' : '✗ outside'
              }))));
  });
  clear($('#table'))
      .append(el(
          'table', {},
          el('thead', {},
             el('tr', {}, head('Word'), head('P(word)', 'num'), head('gate β', 'num'),
                head(`Entropy, full at ${most.toFixed(1)} bits`), head('bits', 'num'),
                head('Largest weight'))),
          body));
}
function said(d) {
  const box = clear($('#said'));
  for (const text of d.reference) {
    const same = text === d.output.caption;
    box.append(el('p', {class: 'small'}, 'The data say: ' + text + ' ', el('span', {class: same ? 'small' : 'small bad', text: same ? '✓ the same' : '✗ differs'})));
  }
}
const rows = () => {
  const n = side(item);
  const places = Array.from({length: n * n}, (_, i) => `r${Math.floor(i / n) + 1}c${i % n + 1}`);
  return [['word', ...places], ...item.output.tokens.map((w, k) => [w, ...maps(item)[k]])];
};
function draw() {
  const d = item;
  captionWords(d);
  said(d);
  verdict(d);
  table(d);
  strip(d);
  clear($('#save-image')).append(saver($('#big'), `attend-map-${d.id}`, rows, () => item));
  clear($('#save-strip')).append(saver($('#strip'), `attend-strip-${d.id}`, rows, () => item));
  if (d.output.tokens.length) return show(Math.min(Math.max(0, word), d.output.tokens.length - 1));
  clear($('#big')).append(el('img', {src: d.input.png, alt: d.input.image}));
  clear($('#readout')).append('The model wrote no word.');
}
function controls() {
  const box = clear($('#controls'));
  if (D.items.length > 1) {
    const select = el('select', {id: 'item'});
    for (const d of D.items)
      select.append(el('option', {
        value: d.id,
        selected: d === item,
        text: `${d.id}. ${d.output.caption.length > 48 ? d.output.caption.slice(0, 47) + '…' : d.output.caption}`
      }));
    select.addEventListener('change', () => {
      item = find(select.value);
      remember('s', item.id);
      draw();
    });
    box.append(el('label', {}, 'Image ', select),
               el('span', {class: 'small', text: `${D.items.length} in this file`}));
  }
  const n = side(item);
  box.append(segment('Map', 'map', [['smooth', 'smoothed'], ['cells', `${n} × ${n} as computed`], ['none', 'image only']], mode, v => {
    mode = v;
    draw();
  }));
}

facts();
if (item) {
  controls();
  draw();
  const place = n => [...n.parentElement.children].indexOf(n);
  roving($('#words'), '[role=option]', n => show(place(n)));
  roving($('#strip'), 'button', n => show(place(n)));
  addEventListener('hashchange', () => {  // a pasted or edited address
    const s = new URLSearchParams(location.hash.slice(1));
    item = find(s.get('s')) || item;
    word = Number(s.get('w')) || 0;
    controls();
    draw();
  });
} else {
  $('#verdict').append(el('p', {class: 'note', text: 'This file holds no captions.'}));
}
