/* ---- looked at, and mattered: a row a word ---- */
const pos = (v, lo, hi) => 100 * (v - lo) / (hi - lo) + '%';
/* The ends of a signed scale, at least `least` apart, so that no effect looks like none. */
function range(v, least) {
  const hi = numbers(v).reduce((a, x) => Math.max(a, x), 0),
        lo = numbers(v).reduce((a, x) => Math.max(a, -x), 0);
  const room = Math.max(hi + lo, least) / (hi + lo || 1), some = .02 * Math.max(hi, lo, least);
  return hi + lo > 0 ? {hi: Math.max(some, hi * room), lo: Math.max(some, lo * room)} :
                       {hi: least, lo: some};
}
function signedBar(v, m) {
  if (v == null) return '';
  return el(
      'div', {class: 'meter', 'aria-hidden': 'true'}, el('i', {
        class: v < 0 ? 'neg' : 'pos',
        at: {left: pos(Math.min(0, v), -m.lo, m.hi), width: 100 * Math.abs(v) / (m.lo + m.hi) + '%'}
      }),
      el('i', {class: 'zero', at: {left: pos(0, -m.lo, m.hi)}}));
}
function attentionBar(d, i, m) {
  const w = weights(d)[i];
  if (w == null) return '';
  const bar =
      el('div', {class: 'meter', 'aria-hidden': 'true'},
         el('i', {class: 'fill', at: {left: 0, width: pos(w, 0, m)}}));
  if (!d.seeds) return bar;
  const lo = d.seeds.low[i], hi = d.seeds.high[i];
  bar.append(
      el('i', {class: 'span', at: {left: pos(lo, 0, m), width: 100 * (hi - lo) / m + '%'}}),
      el('i', {class: 'end', at: {left: pos(lo, 0, m)}}),
      el('i', {class: 'end', at: {left: pos(hi, 0, m)}}));
  return bar;
}
function chosen(d) {  // word numbers in the order shown, thinned when long
  const w = weights(d) || [], loo = d.attribution.leave_one_out, top = peak(d) || 1,
        most = magnitude(loo) || 1;
  // Equal weights would fill the place with whatever stands first: then the effect alone decides.
  const strength = i => Math.max(flat(d) ? 0 : (w[i] ?? 0) / top, Math.abs(loo[i] ?? 0) / most);
  const rank = {
    reading: i => i,
    attention: i => -(w[i] ?? -1),
    effect: i => -Math.abs(loo[i] ?? -1e-9)
  }[setting('order')];
  let index = [...d.input.keys()];
  if (long(d) && !all) index = index.sort((a, b) => strength(b) - strength(a)).slice(0, 16);
  return index.sort((a, b) => rank(a) - rank(b) || a - b);
}
function wordRows(d, index, places) {
  const a = d.attribution, loo = a.leave_one_out, gx = a.gradient_x_input, w = weights(d),
        body = el('tbody');
  const top = 1.02 * Math.max(peak(d), d.seeds ? largest(d.seeds.high) : 0), lm = range(loo, .1),
        gm = gx && range(gx, .2);
  const num = (i, t, more) =>
      el('td', {class: 'num'}, t, more ? el('span', {class: 'vh', text: more}) : '');
  for (const i of index) {
    const unread = d.seen[i] === 'dropped' || d.seen[i] === 'cut';
    body.append(
        el('tr', {'data-i': i, class: unread ? 'rest' : null},
           el('th', {scope: 'row'}, el('span', {
                class: 'word' + (d.seen[i] === 'unknown' || d.seen[i] === 'dropped' ? ' unk' : ''),
                text: d.input[i]
              }),
              unread ? el('span', {class: 'vh', text: ', ' + SEEN[d.seen[i]]}) : '',
              long(d) ? el('span', {class: 'micro', text: ' ' + (i + 1)}) : ''),
           el('td', {}, w ? attentionBar(d, i, top) : ''),
           num(i, w ? dec(w[i], places) : '–',
               d.seeds && w[i] != null &&
                   `, over seeds ${dec(d.seeds.low[i])} to ${dec(d.seeds.high[i])}`),
           el('td', {}, signedBar(loo[i], lm)), num(i, signed(loo[i])),
           el('td', {}, gx ? signedBar(gx[i], gm) : ''), num(i, gx ? signed(gx[i]) : '–')));
  }
  const extra = (name, v) => body.append(
      el('tr', {class: 'rest'}, el('th', {scope: 'row', colspan: 2, text: name}),
         el('td', {class: 'num', text: dec(v, places)}), el('td', {colspan: 4})));
  if (w && index.length < d.input.length)
    extra(
        `${d.input.length - index.length} quieter words together`,
        sum(w) - sum(index.map(i => w[i])));
  if (w && padding(d) > 0)
    extra(`${count(d.attention[0].padding, 'padded place', 'padded places')} together`, padding(d));
  return body;
}
const csv = d => [
    [
      'position', 'word', 'seen', 'attention', 'seed_low', 'seed_high', 'leave_one_out',
      'gradient_x_input', 'probability_without', 'answer_without'
    ],
    ...d.input.map(
        (w, i) =>
            [i + 1, w, d.seen[i], weights(d)?.[i], d.seeds?.low[i], d.seeds?.high[i],
             d.attribution.leave_one_out[i], d.attribution.gradient_x_input?.[i],
             d.what_if[i]?.probability, d.what_if[i]?.label])];
function wordTable(d, box) {
  const fig = el('figure', {'data-name': 'word bars'}), index = chosen(d),
        hidden = d.input.length - index.length, w = weights(d);
  const places =
      placesFor(w ? [...index.map(i => w[i]), sum(w) - sum(index.map(i => w[i])), padding(d)] : []);
  const th = t => el('th', {scope: 'colgroup', colspan: 2}, el('b', {text: t})),
        sub = t => el('th', {colspan: 2, text: t});
  fig.append(el(
      'table', {class: 'words'},
      el('colgroup', {}, el('col', {class: 'c-word'}),
         ...[1, 2, 3].flatMap(() => [el('col'), el('col', {class: 'c-num'})])),
      el('thead', {},
         el('tr', {}, el('td', {}), th('Attention'), th('Leave-one-out'), th('Gradient × input')),
         el('tr', {}, el('th', {scope: 'col', text: 'Word'}),
            sub(!w          ? 'none in this model' :
                    d.seeds ? `line: least to most of ${R.seeds.length} seeds` :
                              'one seed: no range'),
            sub(`drop in P(${d.output.label})`), sub('slope of the logit'))),
      wordRows(d, index, places)));
  const orders = [['reading', 'as read'], ['attention', 'attention'], ['effect', 'effect']].filter(
      ([k]) => w || k !== 'attention');
  const again = (focus, more) => {
    if (more != null) all = more;
    panel();
    $(focus).focus();
  };
  box.append(
      el('div', {class: 'fig-head'}, el('h3', {text: 'Looked at, and mattered'}),
         saver(fig, `attend-words-${d.id}`, () => csv(d), () => d)),
      el('div', {class: 'controls'},
         segment(
             'Order', 'order', orders, setting('order'), v => again(`#panel input[value=${v}]`)),
         long(d) ? el('button', {
           class: 'plain',
           type: 'button',
           id: 'more',
           text: all ? 'Show the 16 strongest' : `Show all ${d.input.length} words`,
           onclick: () => again('#more', !all)
         }) :
                   ''),
      fig);
  if (hidden)
    box.append(el('p', {
      class: 'micro after',
      text: `The 16 words with the most attention or effect; small number: place in the text. ${
          hidden} more are in the CSV and behind the button.`
    }));
  for (const t of D.missing) box.append(el('p', {class: 'small after', text: t}));
}

/* ---- what if this word were not there ---- */
function whatIf(d, box) {
  const row = el('ol', {class: 'gloss'}), p = d.output.probability, binary = R.labels.length === 2;
  const quiet = i => long(d) &&
      (!d.what_if[i] ||
       d.what_if[i].label === d.output.label && Math.abs(d.attribution.leave_one_out[i]) < .02);
  let run = 0;
  const flush = () => {
    if (run)
      row.append(
          el('li', {class: 'gap'}, '… ', el('span', {text: run}), ' …',
             el('span', {class: 'vh', text: ' quiet words'})));
    run = 0;
  };
  d.input.forEach((w, i) => {
    if (quiet(i)) {
      run++;
      return;
    }
    if (!d.what_if[i]) return;
    flush();
    const q = d.what_if[i], flip = q.label !== d.output.label;
    row.append(
        el('li', {class: flip ? 'flip' : null, 'data-i': i}, el('span', {class: 'word', text: w}),
           el('span', {class: 'col', 'aria-hidden': 'true'},
              el('i', {at: {height: 100 * q.probability + '%'}}),
              binary ? el('i', {class: 'half'}) : ''),
           el('span', {class: 'v', text: dec(q.probability)}), el('span', {
             class: flip ? 'bad d' : 'd',
             text: flip ? (binary ? '✗ flips' : '✗ ' + q.label) :
                          signed(-d.attribution.leave_one_out[i])
           })));
  });
  flush();
  const fig = el('figure', {'data-name': 'what-if row'}, row),
        seen = d.what_if.filter(Boolean).length;
  const half = binary ? '; the line in it marks .5, below which the answer flips' : '';
  const note = seen === 1 ?
      'Deleting the only word leaves an empty sentence; the column shows what the model answers then.' :
      `With every word: ${dec(p)}. Column: the probability after deleting that one word${half}.${
          long(d) ? ' “… 8 …” stands for 8 words that each change it by less than .02.' : ''}`;
  box.append(
      el('div', {class: 'fig-head next'},
         el('h3', {text: `What if this word were not there? P(${d.output.label})`}),
         saver(fig, `attend-what-if-${d.id}`, () => csv(d), () => d)),
      el('p', {class: 'small', text: note}), fig, el('p', {
        class: 'micro',
        text:
            'Computed when the file was written: the text without the word, read anew by the model.'
      }));
}
