/* ---- the page draws itself ---- */
const SAYS = {
  item: 'Sentence',
  none: 'This file holds no translations.',
  start: d => d.input.slice(0, 3).join(' '),
  one: 'source word',
  many: 'source words',
  column: 'Source word',
  row: 'output',
  matrix: 'Alignment matrix',
  figure: 'alignment matrix',
  file: 'alignment',
  sides: 'Rows: output. Columns: source.',
  scale: d => ramp(full(d), 'weight'),
  missing: 'Attention is missing: this model has none. Train a translation recipe with attention to see where it looks.',
  whole: 'For the whole output',
  of: (d, i) => `For “${shortened(d.output.tokens[i])}”`,
  meaning: 'leave-one-out is the log-probability of the output that is lost when a source word is deleted.',
  alone: 'Deleting the only word leaves nothing to read, so leave-one-out is missing.'
};
const named = t => t, asked = d => d.output.tokens, reach = d => d.input.length;
const map = d => d.attention[0];
const full = d => (d.verdict.name === 'all_equal' ? 1 : Math.max(...map(d).weights.map(largest)));
function measures(d, i) {
  const loo = d.attribution;
  return i == null ?
      {look: d.totals, need: loo.leave_one_out} :
      {look: map(d) ? map(d).weights[i] : null, need: loo.leave_one_out_by_target[i] || []};
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
const rest = () => item && light(null, null), release = rest, mark = rest;

function show(d) {
  item = d;
  all = false;
  pair(d);
  looked(d);
  needed(d);
  rest();
}
begin();
