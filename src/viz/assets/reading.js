/* ---- the page draws itself: the text, the matrix, what the guesses needed, and the text line by line ---- */
const LINES = 24;  // of the text so far; those before are left out, as are the beginnings of long ones
const SAYS = {
  item: 'Text',
  none: 'This file holds no texts.',
  start: d => d.input.slice(0, d.characters ? 18 : 3).map(named).join(d.characters ? '' : ' '),
  one: 'token',
  many: 'tokens',
  column: 'Token',
  row: 'read',
  matrix: 'Matrix of weights',
  figure: 'matrix of weights',
  file: 'weights',
  sides:
      'Rows: the token being read. Columns: the tokens it looked back on, named over the diagonal.',
  scale: d => scale(d),
  missing:
      'Attention is missing: this model has none. Train language/lstmn or language/transformer to see where it looks.',
  whole: 'For the whole text',
  of: (d, i) => `For what follows ${quoted(d.input[i])}`,
  meaning:
      'leave-one-out is the log-probability of what followed that is lost when a token before it is deleted.',
  alone:
      'Leave-one-out is missing: there is no token whose deletion leaves something to read and a next token to guess.'
};
const WHITE = {' ': '␣', '\n': '↵', '\t': '⇥'};
const named = t => (Object.hasOwn(WHITE, t) ? WHITE[t] : t), quoted = t => `“${named(t)}”`;
const asked = d => d.input, reach = (d, i) => i + 1;
const flat = d => d.verdict.name === 'all_equal';
const full = (d, i) => (flat(d) ? 1 : largest(map(d).weights[i]));
const scale = d => ramp(1, flat(d) ? 'weight' : 'weight, share of the row’s largest');
const effects = (d, i) => d.attribution.leave_one_out_by_token[i] || [];
const chance = log => (log == null ? null : Math.exp(log));
let chosen = null;  // the token whose row is lit when nothing is pointed at

const mapsOf = d => d.attention;
function measures(d, i) {
  const w = map(d)?.weights;
  if (i != null) return {look: w ? w[i] : null, need: effects(d, i)};
  const sums = w && d.input.map((_, j) => sum(w.map(row => row[j])));
  return {look: sums, need: d.attribution.leave_one_out};
}
/* The token that the address names; 0: none; or the last one whose guess is known. */
function addressed(d) {
  const t = Number(state.t), n = d.input.length;
  if (state.t != null && t === 0) return null;
  return Number.isInteger(t) && t >= 1 && t <= n ? t - 1 : Math.max(0, n - 2);
}
const breaks = (d, t) => d.characters ? (t === '\n' ? el('br') : t === ' ' ? el('wbr') : '') : ' ';
function text(d) {
  const p = el('p', {
    id: 'text',
    class: d.characters ? 'characters' : null,
    role: 'listbox',
    'aria-label': 'The text, token by token'
  });
  d.input.forEach((t, x) => {
    const n = el('span', {class: 'tok', role: 'option', 'data-i': x, text: named(t)});
    n.addEventListener('pointerenter', () => light(x, null));
    n.addEventListener('pointerleave', () => rest());
    n.addEventListener('click', () => choose(x));
    p.append(n, breaks(d, t));
  });
  roving(p, '.tok', n => choose(Number(n.dataset.i)));
  const fig = el('figure', {'data-name': 'text'}, p), at = () => measures(d, chosen);
  const rows = () => [
      ['position', 'token', 'attention', 'leave_one_out'],
      ...d.input.map((t, j) => [j + 1, t, at().look?.[j], at().need[j]])];
  const unread = count(d.cut, 'token', 'tokens'),
        cut = `${unread} in front were not read: the model reads only so many.`;
  clear($('#reading'))
      .append(
          el('div', {class: 'fig-head'}, el('h2', {id: 'h-text', text: 'The text'}),
             saver(fig, `attend-text-${d.id}`, rows, () => d)),
          el('p', {class: 'small'},
             'Framed: the token being read. ' + (map(d) ? 'Shaded: what it looked back on. ' : '') +
                 'Underlined: what the guess of the next token needed.'),
          el('div', {class: 'legend'}, map(d) ? scale(d) : '',
             el('span', {}, el('span', {class: 'tok e4', text: 'for'}),
                el('span', {class: 'tok e4 con', text: 'against'}),
                'what followed, leave-one-out')),
          fig,
          d.cut > 0 ? el('p', {class: 'micro', text: cut}) : '');
}
/* Each token's shade and line on the row of token i. */
function row(d, i) {
  const w = map(d)?.weights[i], top = w && full(d, i), need = effects(d, i), most = magnitude(need);
  return x => `tok w${w?.[x] == null ? 0 : step(w[x], top)}${lined(need[x], most)}`;
}
/* Figure 1 of Cheng et al. (2016): the text so far, a line a token. */
function lines(d) {
  const n = d.input.length, first = Math.max(0, n - LINES), most = d.characters ? 64 : 16;
  const p = d.output, body = el('tbody');
  const follows = (token, log) =>
      el('td', {}, token == null ? '–' : el('span', {class: 'word', text: named(token)}),
         token == null || log == null ? '' :
                                        el('span', {class: 'micro', text: ' ' + dec(chance(log))}));
  for (let t = first; t < n; t++) {
    const sofar = el('td', {class: d.characters ? 'sofar characters' : 'sofar'}), look = row(d, t);
    const over = t + 1 - most, from = over < 4 ? 0 : over;
    if (from) sofar.append(el('span', {class: 'micro', text: `… ${from} … `}));
    for (let x = from; x <= t; x++) {
      const tok = el('span', {class: look(x), text: named(d.input[x])});
      sofar.append(x === t ? el('span', {class: 'now'}, tok) : tok, d.characters ? el('wbr') : ' ');
    }
    body.append(
        el('tr', {}, sofar, follows(d.input[t + 1], p.log_probability?.[t + 1]),
           follows(p.guess[t], p.guess_log_probability?.[t])));
  }
  const head = (label, number) => el('th', {scope: 'col'}, el('b', {text: label}), number);
  const fig =
      el('figure', {'data-name': 'text line by line'},
         el('table', {class: 'lines'},
            el('thead', {},
               el('tr', {}, head('Text so far', ''), head('Followed by', ' P'),
                  head('Likeliest', ' P'))),
            body));
  const mostOf = row =>
      row && largest(row) > 0 ? [d.input[row.indexOf(largest(row))], largest(row)] : [null, null];
  const rows = () => [
      [
        'position', 'token', 'probability', 'likeliest_next', 'its_probability', 'looked_at_most',
        'weight', 'next_needed_most', 'leave_one_out'
      ],
      ...d.input.map(
          (t, i) =>
              [i + 1, t, chance(p.log_probability?.[i]), p.guess[i],
               chance(p.guess_log_probability?.[i]), ...mostOf(map(d)?.weights[i]),
               ...mostOf(effects(d, i))])];
  clear($('#lines'))
      .append(
          el('div', {class: 'fig-head'}, el('h2', {id: 'h-lines', text: 'Line by line'}),
             saver(fig, `attend-lines-${d.id}`, rows, () => d)),
          el('p', {
            class: 'small',
            text:
                'Each line reads one token more, the framed one, as in Figure 1 of Cheng, Dong and Lapata (2016). ' +
                (first ?
                     `The last ${LINES} of ${
                         n} lines; choose a token of the text for the others, which are in the CSV too.` :
                     '')
          }),
          fig);
}
/* Lights a row, a column or a cell everywhere, and reads it out. */
function light(i, j) {
  const d = item, m = map(d), look = i != null && row(d, i);
  cur = [i, j];
  if (m) outline(i, j);
  fill(d, i);
  for (const n of document.querySelectorAll('#bars tr')) n.classList.toggle('lit', +n.dataset.j === j);
  for (const n of document.querySelectorAll('#text .tok')) {
    const x = +n.dataset.i, w = i == null && j != null ? m?.weights[x][j] : null;
    const state = x === i ? ' now' : x === j ? ' lit' : i != null && x > i ? ' gone' : '';
    n.className = (look ? look(x) : `tok w${w == null ? 0 : step(w, full(d, x))}`) + state;
  }
  clear($('#readout')).append(...told(d, i, j));
}
function told(d, i, j) {
  const m = map(d), name = x => quoted(d.input[x]), next = i + 1 < d.input.length;
  const best = row => mostSeen(row, d.input);
  const cost = (of, x) =>
      (x == null ? '' : `Without ${name(j)} log P of ${of} changes by ${signed(-x)}. `);
  if (i == null && j == null)
    return ['Choose a token, or point at one, to see what it looked back on.'];
  if (i == null)
    return [
      el('b', {text: name(j)}),
      m ? ` is looked at by  ${best(m.weights.map(r => r[j])).join('  ·  ')}. ` : ' ',
      cost('all that follows', d.attribution.leave_one_out[j])
    ];
  const cell = j == null || !m ? '' : ` on ${name(j)} ${dec(m.weights[i][j])}.`,
        out = [el('b', {text: name(i) + cell}), ' '];
  if (j != null) out.push(cost(next ? name(i + 1) : '', effects(d, i)[j]));
  if (j == null && m) {
    const seen = best(m.weights[i]), start = 1 - sum(m.weights[i]);  // what a row lacks to 1 fell on the start
    if (start > .005) seen.push(`the start of the text ${dec(start)}`);
    out.push(`looks at  ${seen.join('  ·  ')}. `);
  }
  const {guess, guess_log_probability: of, log_probability: p} = d.output;
  if (guess[i] == null) return out;
  const right = next && guess[i] === d.input[i + 1];
  const follows = !next ? '.' : right ? ', which follows.' : `; what follows is ${name(i + 1)}, ${dec(chance(p?.[i + 1]))}.`;
  out.push(`Its guess of the next token: ${quoted(guess[i])} ${dec(chance(of?.[i]))}${follows}`);
  return out;
}
function rest() {
  if (item) light(chosen, null);
}
const mark = rest;  // before a figure is saved
function choose(i) {
  chosen = i;
  remember('t', i == null ? 0 : i + 1);
  select();
  rest();
}
const release = () => choose(null);
function select() {
  const all = [...document.querySelectorAll('#text .tok')];
  all.forEach((n, x) => n.setAttribute('aria-selected', String(x === chosen)));
  oneStop(all, all[chosen ?? 0]);
}
function draw(d) {
  text(d);
  looked(d);
  needed(d);
  lines(d);
  select();
  rest();
}
function show(d) {
  item = d;
  all = false;
  chosen = addressed(d);
  $('#heads')?.remove();
  $('#controls').append(heads(d, 'the verdict is of the mean'));
  draw(d);
}
begin();
