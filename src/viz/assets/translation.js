/* ---- the page draws itself ---- */
const R = D.run, find = id => D.items.find(d => d.id === Number(id));
let item = null;

function chooser() {
  const box = clear($('#controls'));
  if (D.items.length < 2) return;
  const select = el('select', {id: 'item'});
  for (const d of D.items)
    select.append(el('option', {
      value: d.id,
      selected: d === item,
      text: `${d.id}. ${shortened(d.input.slice(0, 3).join(' '))} (${
          count(d.input.length, 'word', 'words')})`
    }));
  select.addEventListener('change', () => {
    remember('s', select.value);
    show(find(select.value));
  });
  box.append(el('label', {}, 'Sentence ', select),
             el('span', {class: 'small', text: `${D.items.length} in this file`}));
}
function side(list, kind) {
  const dd = el('dd');
  list.forEach((t, x) => {
    const n = el('span', {class: 'tok', text: t, 'data-side': kind, 'data-i': x});
    n.addEventListener(
        'pointerenter', () => kind === 'output' ? light(x, null) : light(null, x));
    n.addEventListener('pointerleave', () => light(null, null));
    dd.append(n, ' ');
  });
  return dd;
}
function pair(d) {
  const list =
      el('dl', {class: 'pair'}, el('dt', {text: 'source'}), side(d.input, 'source'),
         el('dt', {text: 'output'}), side(d.output.tokens, 'output'));
  if (d.reference != null)
    list.append(el('dt', {text: 'the data say'}),
                el('dd', {}, d.reference + ' ',
                   el('span', {
                     class: d.reference === d.output.translation ? 'small' : 'small bad',
                     text: d.reference === d.output.translation ? '✓ the same' : '✗ differs'
                   })));
  clear($('#pair')).append(list);
}
function looked(d) {
  const box = clear($('#looked'));
  if (!map(d)) {
    box.append(
        el('h2', {id: 'h-matrix', text: 'Alignment'}),
        el('p', {
          class: 'note small',
          text: 'Attention is missing: this model has none. Train a translation recipe with attention to see where it looks.'
        }),
        el('p', {class: 'readout', id: 'readout', 'aria-live': 'polite'}));
    return;
  }
  const {query: q, key: k, weights: w} = map(d);
  const fig = el('figure', {id: 'matrix', 'data-name': 'alignment matrix'});
  const many = Math.max(q.length, k.length) > MANY;
  box.append(
      el('div', {class: 'fig-head'}, el('h2', {id: 'h-matrix', text: 'What it looked at'}),
         saver(fig, `attend-alignment-${d.id}`,
               () => [['output', ...k], ...q.map((t, i) => [t, ...w[i]])], () => d)),
      el('p', {
        class: 'small',
        text: 'Rows: output. Columns: source. ' +
            (many ? 'Too many words for labels: point, or use the arrow keys; the line below names the words.' :
                    'Dot: the largest weight of each row.')
      }),
      el('div', {class: 'legend'}, ramp(full(d), 'weight')),
      el('p', {class: 'readout', id: 'readout', 'aria-live': 'polite'}), fig, numbersTable(d));
  matrix(d);
}
/* Lights a row, a column or a cell everywhere, and reads it out. */
function light(i, j) {
  const d = item, m = map(d);
  cur = [i, j];
  if (m) outline(i, j);
  fill(d, i);
  for (const row of document.querySelectorAll('#bars tr'))
    row.classList.toggle('lit', +row.dataset.j === j);
  for (const n of document.querySelectorAll('#pair .tok')) {
    const x = +n.dataset.i, output = n.dataset.side === 'output';
    const v = !m ? 0 : !output && i != null ? m.weights[i][x] :
        output && i == null && j != null    ? m.weights[x][j] :
                                              0;
    n.className = `tok w${step(v, m ? full(d) : 1)}${x === (output ? i : j) ? ' lit' : ''}`;
  }
  clear($('#readout')).append(...told(d, i, j));
}
function told(d, i, j) {
  const m = map(d), q = d.output.tokens, k = d.input, loo = d.attribution;
  const best = (v, names) => v.map((x, a) => [x, names[a]]).sort((a, b) => b[0] - a[0]).slice(0, 4)
                                 .map(([x, t]) => `${t} ${dec(x)}`).join('  ·  ');
  const of = i == null ? 'the output' : `“${q[i]}”`;
  const cost = (name, x) =>
      (x == null ? '' : ` Without “${name}” log P of ${of} changes by ${signed(-x)}.`);
  if (i == null && j == null)
    return [m ? 'Point at a row, a column or a word, or focus the matrix and use the arrow keys.' :
                'Point at an output word to see what it needed.'];
  const need = i == null ? loo.leave_one_out[j] : j == null ? null : (loo.leave_one_out_by_target[i] || [])[j];
  const out = [];
  if (i != null && j != null)
    out.push(el('b', {text: `“${q[i]}” on “${k[j]}” ${m ? dec(m.weights[i][j]) : '–'}.`}));
  if (j != null) out.push(cost(k[j], need) + ' ');
  if (i != null && m) out.push(`“${q[i]}” looks at  ${best(m.weights[i], k)}`);
  if (i == null && m) out.push(`“${k[j]}” is looked at by  ${best(m.weights.map(r => r[j]), q)}`);
  return out;
}
const mark = () => item && light(null, null);  // before a figure is saved

function show(d) {
  item = d;
  all = false;
  pair(d);
  looked(d);
  needed(d);
  light(null, null);
}

facts();
item = find(state.s) || D.items[0];
if (item) {
  chooser();
  show(item);
  let wait;
  addEventListener('resize', () => {
    clearTimeout(wait);
    wait = setTimeout(() => {
      if (!map(item)) return;
      matrix(item);
      light(null, null);
    }, 120);
  });
  addEventListener('keydown', e => e.key === 'Escape' && light(null, null));
  addEventListener('hashchange', () => {  // a pasted or edited address
    const s = new URLSearchParams(location.hash.slice(1)).get('s');
    item = find(s) || item;
    chooser();
    show(item);
  });
} else {
  $('#looked').append(
      el('h2', {id: 'h-matrix', class: 'vh', text: 'Alignment'}),
      el('p', {class: 'note', text: 'This file holds no translations.'}));
  $('#needed').append(el('h2', {id: 'h-needed', class: 'vh', text: 'What it needed'}));
}
