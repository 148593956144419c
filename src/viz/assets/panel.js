/* ---- one sentence ---- */
let all = false, pinned = null, resting = '';
const SEEN = {
  dropped: 'not in the vocabulary: the model never saw it',
  cut: 'cut off: the model reads only so many words',
  unknown: 'not in the vocabulary: read as “unknown”'
};

/* Lights one word everywhere and reads it out; null goes back to the pinned word, or to none. */
function mark(i) {
  i = i ?? pinned;
  for (const n of document.querySelectorAll('#panel .lit')) n.classList.remove('lit');
  if (i != null)
    for (const n of document.querySelectorAll(`#panel [data-i="${i}"]`)) n.classList.add('lit');
  if (item) {
    cur = [i == null ? null : Number(i), null];
    outline(...cur);
  }
  const box = $('#readout');
  if (!box) return;
  clear(box).append(...(i == null ? [resting] : describe(at, i)));
}
function describe(d, i) {
  const name = el('b', {class: 'word', text: d.input[i]}), w = weights(d), a = d.attribution;
  if (d.seen[i] === 'dropped' || d.seen[i] === 'cut') return [name, ` – ${SEEN[d.seen[i]]}.`];
  const parts = [];
  if (w) {
    const rank = 1 + numbers(w).filter(x => x > w[i]).length;
    parts.push(`attention ${dec(w[i], 3)}${
        d.seeds ? ` (seeds ${dec(d.seeds.low[i], 3)} to ${dec(d.seeds.high[i], 3)})` :
                  ''}, ${rank} of ${numbers(w).length}`);
  }
  const q = d.what_if[i];
  if (q)
    parts.push(`without it P(${d.output.label}) ${dec(q.probability, 3)} (${
        signed(
            -a.leave_one_out[i],
            3)})${q.label === d.output.label ? '' : ', the answer becomes ' + q.label}`);
  if (a.gradient_x_input) parts.push(`gradient × input ${signed(a.gradient_x_input[i])}`);
  if (d.deciding.includes(i)) parts.push('decides the label in this generated sentence');
  if (d.seen[i] === 'unknown') parts.push(SEEN.unknown);
  return [name, ' – ' + parts.join('; ') + '.'];
}
function lighting(box) {  // any mark that carries a word's number answers to the pointer
  const i = e => e.target.closest('[data-i]')?.dataset.i;
  box.addEventListener('pointerover', e => i(e) != null && mark(i(e)));
  box.addEventListener('pointerleave', () => mark(null));
  box.addEventListener('focusin', e => i(e) != null && mark(i(e)));
  box.addEventListener('focusout', () => mark(null));
}
function pin(i) {
  pinned = pinned === i ? null : i;
  for (const n of document.querySelectorAll('#text [data-i]'))
    n.setAttribute('aria-pressed', String(n.dataset.i === pinned));
  mark(pinned);
}
function sentence(d) {
  const n = text(d);
  n.id = 'text';
  n.setAttribute('role', 'group');
  n.setAttribute('aria-label', 'The sentence, word by word');
  const tokens = [...n.querySelectorAll('.tok')];
  for (const t of tokens) {
    t.setAttribute('role', 'button');
    t.setAttribute('aria-pressed', 'false');
  }
  oneStop(tokens, tokens[0]);
  n.addEventListener('click', e => {
    const t = e.target.closest('.tok');
    if (t) {
      oneStop(tokens, t);
      pin(t.dataset.i);
    }
  });
  n.addEventListener('keydown', e => {
    if ((e.key === 'Enter' || e.key === ' ') && e.target.dataset.i) {
      e.preventDefault();
      pin(e.target.dataset.i);
    }
  });
  roving(n, '.tok', () => {});
  return n;
}
function facing(d) {  // what was said, what is true, what was not read
  const h =
      el('h2', {id: 'h-panel', tabindex: -1}, `Sentence ${d.id}. The model says `,
         el('b', {text: `${d.output.label} ${dec(d.output.probability)}`}));
  if (d.truth != null)
    h.append(
        `; the data say ${d.truth}. `,
        el('span', {class: right(d) ? null : 'bad', text: right(d) ? '✓ right' : '✗ wrong'}));
  h.append('.');
  for (const o of d.others) h.append(` ${o.model} says ${o.label} ${dec(o.probability)}.`);
  const n = kind => d.seen.filter(s => s === kind).length;
  if (n('unknown'))
    h.append(` Dotted: ${count(n('unknown'), 'word', 'words')} not in the vocabulary.`);
  if (n('dropped'))
    h.append(` Dotted, without shade: ${
        count(n('dropped'), 'word', 'words')} not in the vocabulary, which the model never saw.`);
  if (n('cut'))
    h.append(` Grey: ${count(n('cut'), 'word', 'words')} beyond the model’s length, cut off.`);
  if (padding(d) > 0) h.append(` ${percent(padding(d), 0)} of the attention fell on padding.`);
  return h;
}
function strip(a) {
  const s = svg('svg', {width: 104, height: 16, 'aria-hidden': 'true'}), x = v => 52 + v * 48;
  if (a.band)
    s.append(svg('rect', {
      x: x(a.band[0]),
      y: 4,
      width: Math.max(0, x(a.band[1]) - x(a.band[0])),
      height: 8,
      fill: 'var(--rule)'
    }));
  s.append(
      svg('line', {x1: 4, x2: 100, y1: 8, y2: 8, stroke: 'var(--edge)'}),
      svg('line', {x1: 52, x2: 52, y1: 3, y2: 13, stroke: 'var(--edge)'}),
      svg('circle', {cx: x(a.tau), cy: 8, r: 4, fill: 'var(--ink)'}));
  return s;
}
function verdict(d) {
  const warn = flat(d), v = d.verdict, g = d.agreement;
  const lead = el('p', {class: 'lead', text: (warn ? 'Warning. ' : '') + v.lead}),
        why = el('p', {class: 'small', text: v.why});
  if (['no_attention', 'one_word', 'all_equal', 'few_words'].includes(v.name))
    return el(
        'div', {class: 'note' + (warn ? ' warn' : ''), id: 'verdict', role: 'note'}, lead, why);
  const body = el('tbody'),
        row = (name, a) => body.append(
            el('tr', {}, el('th', {scope: 'row', text: name}),
               el('td', {class: 'num', text: a ? signed(a.tau) : '–'}),
               el('td', {}, a ? strip(a) : '')));
  row('attention, leave-one-out', g.attention_leave_one_out);
  row('attention, gradient', g.attention_gradient);
  row('leave-one-out, gradient', g.leave_one_out_gradient);
  if (d.seeds && d.seeds.tau != null) row('attention, seed to seed', {tau: d.seeds.tau});
  return el(
      'div', {class: 'verdict', id: 'verdict'},
      el('div', {}, lead, why, R.median_tau == null ? '' : el('p', {
           class: 'small',
           text: `Over all ${
               R.test_size.toLocaleString(
                   'en')} sentences of the split the median agreement is ${signed(R.median_tau)}.`
         })),
      el('div', {},
         el('table', {class: 'taus'}, el('caption', {
              class: 'micro',
              text: 'Rank agreement (Kendall τ, −1 to +1). Grey: 95 % of shuffles'
            }),
            body)));
}

function panel() {
  const d = at, box = clear($('#panel'));
  pinned = null;
  const shown = el('figure', {'data-name': 'sentence'}, sentence(d));
  resting = 'Point at a word, or move through the sentence with the arrow keys.';
  box.append(
      el('a', {
        class: 'back',
        href: '#list',
        text: '↑ all sentences',
        onclick: e => {
          e.preventDefault();
          $('#list').scrollIntoView();
          ($('#s' + d.id) || $('#list')).focus();
        }
      }),
      shown,
      el('div', {class: 'fig-head'}, facing(d),
         saver(shown, `attend-sentence-${d.id}`, () => csv(d), () => d)),
      el('p', {class: 'readout', id: 'readout', 'aria-live': 'polite'}), verdict(d));
  wordTable(d, box);
  whatIf(d, box);
  if (d.maps.length) box.append(el('section', {id: 'looked', 'aria-labelledby': 'h-matrix'}));
  draw(d);
  mark(null);
}
