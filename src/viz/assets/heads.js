/* ---- which layer and head is shown: mapsOf(d) lists them, each with its weights over the words of d ---- */
const means = new WeakMap();
const mapName = a => `${a.layer + 1}.${a.head == null ? 'all' : a.head + 1}`;
function mean(d) {
  if (!means.has(d)) {
    const all = mapsOf(d).map(a => a.weights);
    const weights = all[0].map(
        (row, i) =>
            row.map((v, j) => (v == null ? null : sum(all.map(w => w[i][j])) / all.length)));
    means.set(d, {query: d.input, key: d.input, weights});
  }
  return means.get(d);
}
/* The weights of the addressed layer and head, or the mean over all. */
const map = d => {
  const all = mapsOf(d), one = all.find(a => mapName(a) === state.map);
  return all.length ? (one ? {query: d.input, key: d.input, weights: one.weights} : mean(d)) : undefined;
};
/* A choice between them, where there are several. */
function heads(d, note) {
  const all = mapsOf(d);
  if (all.length < 2) return '';
  const pick = el('select', {
    id: 'map',
    onchange: () => {
      remember('map', pick.value);
      draw(d);
    }
  });
  const add = (value, text) => pick.append(el('option', {value, text, selected: value === (state.map || '')}));
  add('', `mean over ${count(all.length, 'map', 'maps')}`);
  for (const a of all)
    add(mapName(a), `layer ${a.layer + 1}, ${a.head == null ? 'mean over heads' : 'head ' + (a.head + 1)}`);
  if (!all.some(a => mapName(a) === state.map)) pick.value = '';
  return el(
      'span', {id: 'heads', class: 'controls'}, el('label', {}, 'Attention ', pick),
      el('span', {class: 'small', text: note}));
}
