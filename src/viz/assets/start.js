/* ---- the page draws itself ---- */
addEventListener('hashchange', () => {  // a pasted or edited address
  for (const k of Object.keys(state)) delete state[k];
  Object.assign(state, Object.fromEntries(new URLSearchParams(location.hash.slice(1))));
  if (!at) return;
  at = find(state.s) || at;
  controls();
  list();
  panel();
});
facts();
comparison();
warning();
controls();
if (at) {
  roving($('#list'), '[role=option]', n => choose(find(n.id.slice(1))));
  lighting($('#panel'));
  addEventListener('keydown', e => {
    if (e.key === 'Escape') {
      pinned = null;
      for (const n of document.querySelectorAll('#text [aria-pressed=true]'))
        n.setAttribute('aria-pressed', 'false');
      mark(null);
    }
  });
  list();
  panel();
} else {
  $('#panel').append(el('p', {class: 'note', text: 'This file holds no sentences.'}));
}
