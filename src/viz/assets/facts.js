/* ---- the head of a report of one run, R ---- */
function facts() {
  const add = (name, value, small) => value &&
      $('.facts').append(
          el('div', {}, el('dt', {text: name}),
             el('dd', {}, el('span', {text: value}), small ? el('small', {text: small}) : '')));
  add('Model', R.model, R.model_detail);
  add('Data', R.data, R.data_detail);
  add('Seed', String(R.seed), R.trained);
  add('Quality', R.quality, R.quality_detail);
}
