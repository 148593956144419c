/* ---- what the output needed, beside what it looked at ---- */
const FEW = 40, SHOWN = 16;  // above FEW source words only the SHOWN strongest are listed at first
let all = false, listed;     // listed: the row whose tokens the table holds

/* Of many tokens those that row i, or everything, needed most; of equals those that were looked at most. */
function strongest(d, i) {
  const {look, need} = measures(d, i), last = i == null ? d.input.length : reach(d, i);
  const places = d.input.map((_, j) => j).slice(0, last);
  if (all || places.length <= FEW) return places;
  const effect = j => Math.abs(need[j] ?? 0), weight = j => (look ? look[j] ?? 0 : 0);
  const kept = [...places].sort((a, b) => effect(b) - effect(a) || weight(b) - weight(a));
  return kept.slice(0, SHOWN).sort((a, b) => a - b);
}
function meter(v, low, high, look) {
  const box = el('div', {class: 'meter', 'aria-hidden': 'true'}), span = high - low;
  if (v == null || !(span > 0)) return box;
  const at = x => 100 * (x - low) / span;
  box.append(el('i', {
    class: look ? 'fill' : v < 0 ? 'neg' : 'pos',
    at: {left: at(Math.min(v, 0)) + '%', width: 100 * Math.abs(v) / span + '%'}
  }));
  if (!look) box.append(el('i', {class: 'zero', at: {left: at(0) + '%'}}));
  return box;
}
/* The bars of one row share their scale with no other: what is compared is the order. */
function fill(d, i) {
  if (listed !== i) bars(d, listed = i);
  const {look, need} = measures(d, i), top = largest(look);
  const low = Math.min(0, ...numbers(need)), high = Math.max(0, ...numbers(need));
  $('#of').textContent = i == null ? SAYS.whole : SAYS.of(d, i);
  for (const row of document.querySelectorAll('#bars tr')) {
    const j = +row.dataset.j, [looked, a, needed, b] = row.querySelectorAll('td');
    clear(looked).append(meter(look && look[j], 0, top, true));
    a.textContent = dec(look && look[j]);
    clear(needed).append(meter(need[j], low, high, false));
    b.textContent = need[j] == null ? '–' : signed(need[j]);
  }
}
function bars(d, i) {
  const body = clear($('#bars'));
  for (const j of strongest(d, i)) {
    const row = el('tr', {'data-j': j},
                   el('th', {scope: 'row'}, el('span', {class: 'word', text: named(d.input[j])})));
    for (const kind of [null, 'num', null, 'num']) row.append(el('td', {class: kind}));
    row.addEventListener('pointerenter', () => light(cur[0], j));
    row.addEventListener('pointerleave', () => light(cur[0], null));
    body.append(row);
  }
}
function barTable() {
  return el(
      'table', {class: 'needs'},
      el('thead', {},
         el('tr', {}, el('th', {scope: 'col', text: SAYS.column}),
            el('th', {scope: 'colgroup', colspan: 2}, el('b', {text: 'Attention'})),
            el('th', {scope: 'colgroup', colspan: 2}, el('b', {text: 'Leave-one-out'}), ' nats'))),
      el('tbody', {id: 'bars'}));
}
function band(a) {  // τ on −1 … 1 over the grey band of 95 % of shuffles
  const s = svg('svg', {width: 104, height: 16, 'aria-hidden': 'true'}), x = v => 52 + v * 48;
  s.append(
      svg('rect', {
        x: x(a.band[0]),
        y: 4,
        width: Math.max(0, x(a.band[1]) - x(a.band[0])),
        height: 8,
        fill: 'var(--rule)'
      }),
      svg('line', {x1: 4, x2: 100, y1: 8, y2: 8, stroke: 'var(--edge)'}),
      svg('line', {x1: 52, x2: 52, y1: 3, y2: 13, stroke: 'var(--edge)'}),
      svg('circle', {cx: x(a.tau), cy: 8, r: 4, fill: 'var(--ink)'}));
  return s;
}
function verdict(d) {
  const v = d.verdict, a = d.agreement.attention_leave_one_out;
  const warn = v.name === 'all_equal' || v.name === 'disagree';
  const box =
      el('div', {class: 'note' + (warn ? ' warn' : ''), id: 'verdict', role: 'note'},
         el('p', {class: 'lead', text: (warn ? 'Warning. ' : '') + v.lead}),
         el('p', {class: 'small', text: v.why}));
  if (a && a.band[0] != null)
    box.append(el('p', {class: 'tau micro'}, `Rank agreement (Kendall τ) ${signed(a.tau)}`, band(a),
                  'grey: 95 % of shuffles'));
  return box;
}
function needed(d) {
  const fig = el('figure', {'data-name': SAYS.many}, barTable());
  listed = undefined;
  const {look, need} = measures(d, null), box = clear($('#needed'));
  const rows = () => [['position', SAYS.one, 'attention', 'leave_one_out'],
                      ...d.input.map((t, j) => [j + 1, t, look && look[j], need[j]])];
  box.append(
      el('div', {class: 'fig-head'}, el('h2', {id: 'h-needed', text: 'What it needed'}),
         saver(fig, `attend-${SAYS.many.replace(' ', '-')}-${d.id}`, rows, () => d)),
      verdict(d), el('p', {class: 'small'}, el('b', {id: 'of'}), ': ' + SAYS.meaning),
      fig);
  if (!numbers(need).length)
    box.append(el('p', {class: 'note small', text: SAYS.alone}));
  if (!all && d.input.length > FEW)
    box.append(el('button', {
      type: 'button',
      class: 'plain',
      id: 'more',
      text: `Show all ${d.input.length} ${SAYS.many}`,
      onclick: () => {
        all = true;
        needed(d);
        rest();
      }
    }));
}
