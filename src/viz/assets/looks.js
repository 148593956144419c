/* ---- what the words of a sentence looked at: self-attention, beside what the answer is judged by ---- */
const SAYS = {
  row: 'word',
  matrix: 'Matrix of self-attention',
  figure: 'self-attention',
  file: 'self-attention',
  sides: 'Rows: the words. Columns: the words that each of them looked at.',
  scale: () => ramp(1, 'weight, share of the row’s largest')
};
const named = t => t, asked = d => d.input, mapsOf = d => d.maps;
const full = (d, i) => largest(map(d).weights[i]);
const looksBack = d => d.input.every((_, i) => d.maps[0].weights[i][i] == null);
const reach = (d, i) => (looksBack(d) ? i + 1 : d.input.length);
let item = null;  // the sentence whose matrix is drawn; null: it has none

/* Lights a row, a column or a cell, and the words that they are of, and reads them out. */
function light(i, j) {
  mark(i ?? j);
  cur = [i, j];
  outline(i, j);
  if (i != null) clear($('#readout')).append(...told(item, i, j));
}
const rest = () => mark(null);
function told(d, i, j) {
  const row = map(d).weights[i], word = x => d.input[x];
  if (j != null && row[j] != null) return [el('b', {text: `${word(i)} on ${word(j)} ${dec(row[j])}.`})];
  const seen = mostSeen(row, d.input), lost = 1 - sum(row);
  if (lost > .005) seen.push(`no word of the sentence ${dec(lost)}`);
  return [el('b', {text: word(i)}), ` looks at  ${seen.join('  ·  ')}.`];
}
function draw(d) {
  item = d.maps.length ? d : null;
  if (!item) return;
  looked(d);
  $('#looked .fig-head').after(el('div', {class: 'controls'}, heads(d, 'none of them is the model’s reason')));
  rest();
}
