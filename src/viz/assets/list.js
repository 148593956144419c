/* ---- the sentences ---- */
const right = d => d.truth == null || d.output.label === d.truth;
const weights = d => (d.attention.length ? d.attention[0].weights[0] : null);
const padding = d => (d.attention.length ? d.attention[0].on_padding : 0);
const peak = d => largest(weights(d));
const flat = d => d.verdict.name === 'all_equal';
const long = d => d.input.length > 40;
const known = {
  show: ['all', 'right', 'wrong'],
  sort: ['file', 'sure', 'unsure', 'tau'],
  order: ['reading', 'attention', 'effect']
};
const setting = key => (known[key].includes(state[key]) ? state[key] : known[key][0]);
const find = id => D.items.find(d => String(d.id) === String(id));
let at = find(state.s) || D.items[0];

function word(d, i, top) {
  const loo = d.attribution.leave_one_out, line = lined(loo[i], magnitude(loo)), w = weights(d);
  const seen = d.seen[i], shade = w && w[i] != null ? ' w' + step(w[i], top) : '';
  const kind = {seen: '', unknown: ' unk', dropped: ' unk gone', cut: ' gone'}[seen];
  return el('span', {class: 'tok' + shade + line + kind, 'data-i': i, text: d.input[i]});
}
function text(d, from = 0, to = d.input.length) {
  const n = el('div', {class: 'text' + (d.input.length > 60 ? ' long' : '')}),
        top = flat(d) ? 1 : peak(d);
  if (from > 0) n.append('… ');
  for (let i = from; i < to; i++) n.append(word(d, i, top), ' ');
  if (to - from < d.input.length)
    n.append(el('span', {
      class: 'small',
      text: `… ${count(d.input.length - to + from, 'more word', 'more words')}`
    }));
  return n;
}
function excerpt(d) {  // long texts: the 22 words in a row with the most attention
  const n = d.input.length, k = 22,
        w = weights(d) || d.attribution.leave_one_out.map(x => Math.abs(x ?? 0));
  if (n <= 30) return text(d);
  let run = sum(w.slice(0, k)), most = run, best = 0;
  for (let i = k; i < n; i++) {
    run += (w[i] ?? 0) - (w[i - k] ?? 0);
    if (run > most + 1e-12) {
      most = run;
      best = i - k + 1;
    }
  }
  return text(d, best, best + k);
}
function controls() {
  const counts = {
    all: D.items.length,
    right: D.items.filter(right).length,
    wrong: D.items.filter(d => !right(d)).length
  };
  const pick = el('select', {
    id: 'sort',
    onchange: e => {
      remember('sort', e.target.value);
      list();
    }
  });
  for (const [v, t] of [
           ['file', 'file order'], ['sure', 'most confident first'],
           ['unsure', 'least confident first'], ['tau', 'least agreement first']]) {
    pick.append(el('option', {value: v, selected: v === setting('sort'), text: t}));
  }
  const search = el('input', {
    type: 'search',
    id: 'q',
    value: state.q,
    size: 12,
    oninput: e => {
      remember('q', e.target.value);
      list();
    }
  });
  clear($('#controls'))
      .append(
          segment(
              'Show', 'show', Object.entries(counts).map(([k, v]) => [k, `${k} ${v}`]),
              setting('show'), list),
          el('label', {}, 'Sort ', pick), el('label', {}, 'With the word ', search));
  clear($('#legend'));
  if (D.items.some(d => weights(d)))
    $('#legend').append(ramp(1, 'attention, share of the largest'));
  if (D.items.some(d => magnitude(d.attribution.leave_one_out) > 0))
    $('#legend').append(
        el('span', {}, el('span', {class: 'tok e4', text: 'for'}),
           el('span', {class: 'tok e4 con', text: 'against'}), 'leave-one-out'));
}
function option(d) {
  const p = d.output.probability;
  return el(
      'div', {
        role: 'option',
        id: 's' + d.id,
        'aria-selected': String(d === at),
        tabindex: -1,
        onclick: () => choose(d, true)
      },
      excerpt(d),
      el('div', {class: 'said'},
         el('div', {class: 'who'}, el('span', {text: d.output.label}), el('span', {text: dec(p)})),
         el('div', {class: 'conf', 'aria-hidden': 'true'}, el('i', {at: {width: 100 * p + '%'}})),
         right(d) ? '' : el('span', {class: 'bad', text: '✗ wrong'})));
}
function list() {
  const tau = d => d.agreement.attention_leave_one_out?.tau ?? 9, p = d => d.output.probability,
        show = setting('show');
  const key = {file: d => d.id, sure: d => -p(d), unsure: p, tau}[setting('sort')],
        q = (state.q || '').trim().toLowerCase();
  const rows = D.items.filter(
      d => (show === 'all' || right(d) === (show === 'right')) &&
          (!q || d.input.some(w => w.toLowerCase() === q)));
  rows.sort((a, b) => key(a) - key(b) || a.id - b.id);
  const box = clear($('#list'));
  $('#count').textContent =
      `${rows.length} of the ${count(D.items.length, 'sentence', 'sentences')} in this file` +
      (R.test_size > 0 ? `; the split has ${R.test_size.toLocaleString('en')}.` : '.');
  if (!rows.length)
    box.append(el('p', {class: 'small', text: 'None. Show all, or clear the word.'}));
  for (const d of rows) box.append(option(d));
  const o = [...box.querySelectorAll('[role=option]')];
  oneStop(o, o.find(n => n.getAttribute('aria-selected') === 'true') || o[0]);
}
function choose(d, jump) {
  at = d;
  remember('s', d.id);
  const o = [...document.querySelectorAll('[role=option]')];
  for (const n of o) n.setAttribute('aria-selected', String(n.id === 's' + d.id));
  oneStop(o, $('#s' + d.id) || o[0]);
  panel();
  if (jump && innerWidth <= 960) {
    $('#panel').scrollIntoView();
    $('#h-panel').focus({preventScroll: true});
  }
}
