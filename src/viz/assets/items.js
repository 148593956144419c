/* ---- the texts of the file, and the one that is shown ---- */
const R = D.run, find = id => D.items.find(d => d.id === Number(id));
let item = null;

/* What differs between the pages that share this, matrix.js and needs.js is in SAYS (words) and in the functions
   named   how a token is written            asked    the tokens that are rows of the matrix
   map     the weights that are shown        full     the weight of a row that has the darkest shade
   reach   columns that a row may look at    measures attention and leave-one-out of a row, or of all
   show    draws a text                      light    lights a row and a column everywhere and reads them out
   rest    lights what is chosen             release  lets that go */
function chooser() {
  const box = clear($('#controls'));
  if (D.items.length < 2) return;
  const select = el('select', {id: 'item'});
  for (const d of D.items)
    select.append(el('option', {
      value: d.id,
      selected: d === item,
      text: `${d.id}. ${shortened(SAYS.start(d))} (${count(d.input.length, SAYS.one, SAYS.many)})`
    }));
  select.addEventListener('change', () => {
    remember('s', select.value);
    remember('t', null);  // a token of the text before
    show(find(select.value));
  });
  box.append(
      el('label', {}, SAYS.item + ' ', select),
      el('span', {class: 'small', text: `${D.items.length} in this file`}));
}
const readout = () => el('p', {class: 'readout', id: 'readout', 'aria-live': 'polite'});
/* Draws the addressed or the first text, and follows the address and the window. */
function begin() {
  facts();
  item = find(state.s) || D.items[0];
  if (!item) {
    $('#looked').append(
        el('h2', {id: 'h-matrix', class: 'vh', text: SAYS.matrix}),
        el('p', {class: 'note', text: SAYS.none}));
    $('#needed').append(el('h2', {id: 'h-needed', class: 'vh', text: 'What it needed'}));
    return;
  }
  chooser();
  show(item);
  addEventListener('keydown', e => e.key === 'Escape' && release());
  addEventListener('hashchange', () => {  // a pasted or edited address
    for (const k of Object.keys(state)) delete state[k];
    Object.assign(state, Object.fromEntries(new URLSearchParams(location.hash.slice(1))));
    item = find(state.s) || item;
    chooser();
    show(item);
  });
}
