/* ---- one sentence ------------------------------------------------------------------------------- */
let all = false, pinned = null, rest = '';
const SEEN = { dropped: 'not in the vocabulary: the model never saw it', cut: 'cut off: the model reads only so many words', unknown: 'not in the vocabulary: read as “unknown”' };

/* Lights one word everywhere and reads it out; null goes back to the pinned word, or to none. */
function mark(i) {
  i = i ?? pinned;
  for (const n of document.querySelectorAll('#panel .lit')) n.classList.remove('lit');
  if (i != null) for (const n of document.querySelectorAll(`#panel [data-i="${i}"]`)) n.classList.add('lit');
  const box = $('#readout');
  if (!box) return;
  clear(box).append(...(i == null ? [rest] : describe(at, i)));
}
function describe(d, i) {
  const name = el('b', { class: 'word', text: d.input[i] }), w = weights(d), a = d.attribution;
  if (d.seen[i] === 'dropped' || d.seen[i] === 'cut') return [name, ` – ${SEEN[d.seen[i]]}.`];
  const parts = [];
  if (w) {
    const rank = 1 + numbers(w).filter(x => x > w[i]).length;
    parts.push(`attention ${dec(w[i], 3)}${d.seeds ? ` (seeds ${dec(d.seeds.low[i], 3)} to ${dec(d.seeds.high[i], 3)})` : ''}, ${rank} of ${numbers(w).length}`);
  }
  const q = d.what_if[i];
  if (q) parts.push(`without it P(${d.output.label}) ${dec(q.probability, 3)} (${signed(-a.leave_one_out[i], 3)})${q.label === d.output.label ? '' : ', the answer becomes ' + q.label}`);
  if (a.gradient_x_input) parts.push(`gradient × input ${signed(a.gradient_x_input[i])}`);
  if (d.deciding.includes(i)) parts.push('decides the label in this generated sentence');
  if (d.seen[i] === 'unknown') parts.push(SEEN.unknown);
  return [name, ' – ' + parts.join('; ') + '.'];
}
function lighting(box) {                               // any mark that carries a word's number answers to the pointer
  const i = e => e.target.closest('[data-i]')?.dataset.i;
  box.addEventListener('pointerover', e => i(e) != null && mark(i(e)));
  box.addEventListener('pointerleave', () => mark(null));
  box.addEventListener('focusin', e => i(e) != null && mark(i(e)));
  box.addEventListener('focusout', () => mark(null));
}
function pin(i) {
  pinned = pinned === i ? null : i;
  for (const n of document.querySelectorAll('#text [data-i]')) n.setAttribute('aria-pressed', String(n.dataset.i === pinned));
  mark(pinned);
}
function sentence(d) {
  const n = text(d);
  n.id = 'text';
  n.setAttribute('role', 'group');
  n.setAttribute('aria-label', 'The sentence, word by word');
  const tokens = [...n.querySelectorAll('.tok')];
  for (const t of tokens) { t.setAttribute('role', 'button'); t.setAttribute('aria-pressed', 'false'); }
  oneStop(tokens, tokens[0]);
  n.addEventListener('click', e => { const t = e.target.closest('.tok'); if (t) { oneStop(tokens, t); pin(t.dataset.i); } });
  n.addEventListener('keydown', e => {
    if ((e.key === 'Enter' || e.key === ' ') && e.target.dataset.i) { e.preventDefault(); pin(e.target.dataset.i); }
  });
  roving(n, '.tok', () => {});
  return n;
}
function facing(d) {                                   // what was said, what is true, what was not read
  const h = el('h2', { id: 'h-panel', tabindex: -1 }, `Sentence ${d.id}. The model says `, el('b', { text: `${d.output.label} ${dec(d.output.probability)}` }));
  if (d.truth != null) h.append(`; the data say ${d.truth}. `, el('span', { class: right(d) ? null : 'bad', text: right(d) ? '✓ right' : '✗ wrong' }));
  h.append('.');
  for (const o of d.others) h.append(` ${o.model} says ${o.label} ${dec(o.probability)}.`);
  const n = kind => d.seen.filter(s => s === kind).length;
  if (n('unknown')) h.append(` Dotted: ${count(n('unknown'), 'word', 'words')} not in the vocabulary.`);
  if (n('dropped')) h.append(` Dotted, without shade: ${count(n('dropped'), 'word', 'words')} not in the vocabulary, which the model never saw.`);
  if (n('cut')) h.append(` Grey: ${count(n('cut'), 'word', 'words')} beyond the model’s length, cut off.`);
  if (padding(d) > 0) h.append(` ${percent(padding(d), 0)} of the attention fell on padding.`);
  return h;
}
function strip(a) {
  const s = svg('svg', { width: 104, height: 16, 'aria-hidden': 'true' }), x = v => 52 + v * 48;
  if (a.band) s.append(svg('rect', { x: x(a.band[0]), y: 4, width: Math.max(0, x(a.band[1]) - x(a.band[0])), height: 8, fill: 'var(--rule)' }));
  s.append(svg('line', { x1: 4, x2: 100, y1: 8, y2: 8, stroke: 'var(--edge)' }), svg('line', { x1: 52, x2: 52, y1: 3, y2: 13, stroke: 'var(--edge)' }),
    svg('circle', { cx: x(a.tau), cy: 8, r: 4, fill: 'var(--ink)' }));
  return s;
}
function verdict(d) {
  const warn = flat(d), v = d.verdict, g = d.agreement;
  const lead = el('p', { class: 'lead', text: (warn ? 'Warning. ' : '') + v.lead }), why = el('p', { class: 'small', text: v.why });
  if (['no_attention', 'one_word', 'all_equal', 'few_words'].includes(v.name)) return el('div', { class: 'note' + (warn ? ' warn' : ''), id: 'verdict', role: 'note' }, lead, why);
  const body = el('tbody'), row = (name, a) => body.append(el('tr', {}, el('th', { scope: 'row', text: name }), el('td', { class: 'num', text: a ? signed(a.tau) : '–' }), el('td', {}, a ? strip(a) : '')));
  row('attention, leave-one-out', g.attention_leave_one_out);
  row('attention, gradient', g.attention_gradient);
  row('leave-one-out, gradient', g.leave_one_out_gradient);
  if (d.seeds && d.seeds.tau != null) row('attention, seed to seed', { tau: d.seeds.tau });
  return el('div', { class: 'verdict', id: 'verdict' },
    el('div', {}, lead, why, R.median_tau == null ? '' : el('p', { class: 'small', text: `Over all ${R.test_size.toLocaleString('en')} test sentences the median agreement is ${signed(R.median_tau)}.` })),
    el('div', {}, el('table', { class: 'taus' }, el('caption', { class: 'micro', text: 'Rank agreement (Kendall τ, −1 to +1). Grey: 95 % of shuffles' }), body)));
}

/* ---- looked at, and mattered: a row a word ------------------------------------------------------ */
const pos = (v, lo, hi) => 100 * (v - lo) / (hi - lo) + '%';
/* The ends of a signed scale. Nothing is drawn larger than `least` would be, so that no effect looks like none. */
function range(v, least) {
  const hi = numbers(v).reduce((a, x) => Math.max(a, x), 0), lo = numbers(v).reduce((a, x) => Math.max(a, -x), 0);
  const room = Math.max(hi + lo, least) / (hi + lo || 1), some = .02 * Math.max(hi, lo, least);
  return hi + lo > 0 ? { hi: Math.max(some, hi * room), lo: Math.max(some, lo * room) } : { hi: least, lo: some };
}
function signedBar(v, m) {
  if (v == null) return '';
  return el('div', { class: 'meter', 'aria-hidden': 'true' }, el('i', { class: v < 0 ? 'neg' : 'pos', at: { left: pos(Math.min(0, v), -m.lo, m.hi), width: 100 * Math.abs(v) / (m.lo + m.hi) + '%' } }),
    el('i', { class: 'zero', at: { left: pos(0, -m.lo, m.hi) } }));
}
function attentionBar(d, i, m) {
  const w = weights(d)[i];
  if (w == null) return '';
  const bar = el('div', { class: 'meter', 'aria-hidden': 'true' }, el('i', { class: 'fill', at: { left: 0, width: pos(w, 0, m) } }));
  if (!d.seeds) return bar;
  const lo = d.seeds.low[i], hi = d.seeds.high[i];
  bar.append(el('i', { class: 'span', at: { left: pos(lo, 0, m), width: 100 * (hi - lo) / m + '%' } }), el('i', { class: 'end', at: { left: pos(lo, 0, m) } }), el('i', { class: 'end', at: { left: pos(hi, 0, m) } }));
  return bar;
}
function chosen(d) {                                   // word numbers in the order shown, thinned when long
  const w = weights(d) || [], loo = d.attribution.leave_one_out, top = peak(d) || 1, most = magnitude(loo) || 1;
  const strength = i => Math.max((w[i] ?? 0) / top, Math.abs(loo[i] ?? 0) / most);
  const rank = { reading: i => i, attention: i => -(w[i] ?? -1), effect: i => -Math.abs(loo[i] ?? -1e-9) }[setting('order')];
  let index = [...d.input.keys()];
  if (long(d) && !all) index = index.sort((a, b) => strength(b) - strength(a)).slice(0, 16);
  return index.sort((a, b) => rank(a) - rank(b) || a - b);
}
function wordRows(d, index, places) {
  const a = d.attribution, loo = a.leave_one_out, gx = a.gradient_x_input, w = weights(d), body = el('tbody');
  const top = 1.02 * Math.max(peak(d), d.seeds ? largest(d.seeds.high) : 0), lm = range(loo, .1), gm = gx && range(gx, .2);
  const num = (i, t, more) => el('td', { class: 'num' }, t, more ? el('span', { class: 'vh', text: more }) : '');
  for (const i of index) {
    const unread = d.seen[i] === 'dropped' || d.seen[i] === 'cut';
    body.append(el('tr', { 'data-i': i, class: unread ? 'rest' : null },
      el('th', { scope: 'row' }, el('span', { class: 'word' + (d.seen[i] === 'unknown' || d.seen[i] === 'dropped' ? ' unk' : ''), text: d.input[i] }),
        unread ? el('span', { class: 'vh', text: ', ' + SEEN[d.seen[i]] }) : '', long(d) ? el('span', { class: 'micro', text: ' ' + (i + 1) }) : ''),
      el('td', {}, w ? attentionBar(d, i, top) : ''), num(i, w ? dec(w[i], places) : '–', d.seeds && w[i] != null && `, over seeds ${dec(d.seeds.low[i])} to ${dec(d.seeds.high[i])}`),
      el('td', {}, signedBar(loo[i], lm)), num(i, signed(loo[i])), el('td', {}, gx ? signedBar(gx[i], gm) : ''), num(i, gx ? signed(gx[i]) : '–')));
  }
  const extra = (name, v) => body.append(el('tr', { class: 'rest' }, el('th', { scope: 'row', colspan: 2, text: name }), el('td', { class: 'num', text: dec(v, places) }), el('td', { colspan: 4 })));
  if (w && index.length < d.input.length) extra(`${d.input.length - index.length} quieter words together`, sum(w) - sum(index.map(i => w[i])));
  if (w && padding(d) > 0) extra(`${count(d.attention[0].padding, 'padded place', 'padded places')} together`, padding(d));
  return body;
}
const csv = d => [['position', 'word', 'seen', 'attention', 'seed_low', 'seed_high', 'leave_one_out', 'gradient_x_input', 'probability_without', 'answer_without'],
  ...d.input.map((w, i) => [i + 1, w, d.seen[i], weights(d)?.[i], d.seeds?.low[i], d.seeds?.high[i], d.attribution.leave_one_out[i], d.attribution.gradient_x_input?.[i], d.what_if[i]?.probability, d.what_if[i]?.label])];
function wordTable(d, box) {
  const fig = el('figure', { 'data-name': 'word bars' }), index = chosen(d), hidden = d.input.length - index.length, w = weights(d);
  const places = placesFor(w ? [...index.map(i => w[i]), sum(w) - sum(index.map(i => w[i])), padding(d)] : []);
  const th = t => el('th', { scope: 'colgroup', colspan: 2 }, el('b', { text: t })), sub = t => el('th', { colspan: 2, text: t });
  fig.append(el('table', { class: 'words' }, el('colgroup', {}, el('col', { class: 'c-word' }), ...[1, 2, 3].flatMap(() => [el('col'), el('col', { class: 'c-num' })])),
    el('thead', {}, el('tr', {}, el('td', {}), th('Attention'), th('Leave-one-out'), th('Gradient × input')),
      el('tr', {}, el('th', { scope: 'col', text: 'Word' }), sub(!w ? 'none in this model' : d.seeds ? `line: least to most of ${R.seeds.length} seeds` : 'one seed: no range'), sub(`drop in P(${d.output.label})`), sub('slope of the logit'))),
    wordRows(d, index, places)));
  const orders = [['reading', 'as read'], ['attention', 'attention'], ['effect', 'effect']].filter(([k]) => w || k !== 'attention');
  const again = (focus, more) => { if (more != null) all = more; panel(); $(focus).focus(); };
  box.append(el('div', { class: 'fig-head' }, el('h3', { text: 'Looked at, and mattered' }), saver(fig, `attend-words-${d.id}`, () => csv(d), () => d)),
    el('div', { class: 'controls' }, segment('Order', 'order', orders, setting('order'), v => again(`#panel input[value=${v}]`)),
      long(d) ? el('button', { class: 'plain', type: 'button', id: 'more', text: all ? 'Show the 16 strongest' : `Show all ${d.input.length} words`, onclick: () => again('#more', !all) }) : ''), fig);
  if (hidden) box.append(el('p', { class: 'micro after', text: `The 16 words with the most attention or effect; small number: place in the text. ${hidden} more are in the CSV and behind the button.` }));
  for (const t of D.missing) box.append(el('p', { class: 'small after', text: t }));
}

/* ---- what if this word were not there ----------------------------------------------------------- */
function whatIf(d, box) {
  const row = el('ol', { class: 'gloss' }), p = d.output.probability, binary = R.labels.length === 2;
  const quiet = i => long(d) && (!d.what_if[i] || d.what_if[i].label === d.output.label && Math.abs(d.attribution.leave_one_out[i]) < .02);
  let run = 0;
  const flush = () => { if (run) row.append(el('li', { class: 'gap' }, '… ', el('span', { text: run }), ' …', el('span', { class: 'vh', text: ' quiet words' }))); run = 0; };
  d.input.forEach((w, i) => {
    if (quiet(i)) { run++; return; }
    if (!d.what_if[i]) return;
    flush();
    const q = d.what_if[i], flip = q.label !== d.output.label;
    row.append(el('li', { class: flip ? 'flip' : null, 'data-i': i }, el('span', { class: 'word', text: w }),
      el('span', { class: 'col', 'aria-hidden': 'true' }, el('i', { at: { height: 100 * q.probability + '%' } }), binary ? el('i', { class: 'half' }) : ''),
      el('span', { class: 'v', text: dec(q.probability) }), el('span', { class: flip ? 'bad d' : 'd', text: flip ? (binary ? '✗ flips' : '✗ ' + q.label) : signed(-d.attribution.leave_one_out[i]) })));
  });
  flush();
  const fig = el('figure', { 'data-name': 'what-if row' }, row), seen = d.what_if.filter(Boolean).length;
  const half = binary ? '; the line in it marks .5, below which the answer flips' : '';
  const note = seen === 1 ? 'Deleting the only word leaves an empty sentence; the model then gives what it expects of any text.'
    : `With every word: ${dec(p)}. Column: the probability after deleting that one word${half}.${long(d) ? ' “… 8 …” stands for 8 words that each change it by less than .02.' : ''}`;
  box.append(el('div', { class: 'fig-head next' }, el('h3', { text: `What if this word were not there? P(${d.output.label})` }), saver(fig, `attend-what-if-${d.id}`, () => csv(d), () => d)),
    el('p', { class: 'small', text: note }), fig, el('p', { class: 'micro', text: 'Computed when the file was written: the text without the word, read anew by the model.' }));
}

function panel() {
  const d = at, box = clear($('#panel'));
  pinned = null;
  rest = 'Point at a word, or move through the sentence with the arrow keys.';
  box.append(el('a', { class: 'back', href: '#list', text: '↑ all sentences', onclick: e => { e.preventDefault(); $('#list').scrollIntoView(); ($('#s' + d.id) || $('#list')).focus(); } }),
    sentence(d), facing(d), el('p', { class: 'readout', id: 'readout', 'aria-live': 'polite' }), verdict(d));
  wordTable(d, box);
  whatIf(d, box);
  mark(null);
}

addEventListener('hashchange', () => {                 // a pasted or edited address
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
controls();
if (at) {
  roving($('#list'), '[role=option]', n => choose(find(n.id.slice(1))));
  lighting($('#panel'));
  addEventListener('keydown', e => { if (e.key === 'Escape') { pinned = null; for (const n of document.querySelectorAll('#text [aria-pressed=true]')) n.setAttribute('aria-pressed', 'false'); mark(null); } });
  list();
  panel();
} else {
  $('#panel').append(el('p', { class: 'note', text: 'This file holds no sentences.' }));
}
