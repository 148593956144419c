/* ---- the run, and the models beside each other ---- */
const R = D.run;
function facts() {
  const dl = $('.facts'),
        interval = a =>
            (a[1] == null ?
                 null :
                 `95 % interval ${(100 * a[1]).toFixed(1)} to ${(100 * a[2]).toFixed(1)}`);
  const add = (name, value, small, extra) => value &&
      dl.append(
          el('div', {}, el('dt', {text: name}),
             el('dd', {}, el('span', {text: value}), small ? el('small', {text: small}) : '',
                extra || '')));
  const n = R.seeds.length, run = R.seeds.every((s, i) => !i || s === R.seeds[i - 1] + 1);
  const seeds = run ? `seeds ${R.seeds[0]}–${R.seeds[n - 1]}` : 'seeds ' + R.seeds.join(', ');
  const padded = R.attention_on_padding > .005 &&
      `${percent(R.attention_on_padding, 0)} of its attention falls on padding`;
  add('Model', R.model, [R.model_detail, padded].filter(Boolean).join('; '));
  add('Data', R.data, R.data_detail);
  add('Seed', String(R.seed), [
    n > 1 ? `range marks: ${seeds}` : 'one seed: no ranges', R.trained
  ].filter(Boolean).join('; '));
  if (R.accuracy) add('Accuracy', percent(R.accuracy[0]), interval(R.accuracy));
  if (R.uniform_accuracy)
    add('Accuracy, attention held equal', percent(R.uniform_accuracy[0]),
        interval(R.uniform_accuracy));
  if (!R.accuracy || R.accuracy[1] == null) return;
  const rows = [R.accuracy, R.uniform_accuracy].filter(a => a && a[1] != null);
  const low = Math.min(.5, ...rows.map(a => a[1]), R.majority ?? 1);
  const label = `${percent(low, 0)} to 100 %` +
      (R.majority == null ? '' : '; dashed: always the commoner answer');
  dl.append(
      el('div', {}, el('dt', {text: label}), el('dd', {}, intervals(rows, low, 1, R.majority))));
}
/* a dot with its 95 % interval on a shared axis; rows: [value, low, high] */
function intervals(rows, lo, hi, dashed, width = 150) {
  const h = 16, s = svg('svg', {width, height: rows.length * h, 'aria-hidden': 'true'});
  const x = v => 4 + (v - lo) / (hi - lo) * (width - 8);
  rows.forEach(([v, a, b], i) => {
    const y = i * h + h / 2;
    s.append(
        svg('line', {x1: x(lo), x2: x(hi), y1: y, y2: y, stroke: 'var(--rule)'}),
        svg('line', {x1: x(a), x2: x(b), y1: y, y2: y, stroke: 'var(--ink)', 'stroke-width': 2}),
        svg('circle', {cx: x(v), cy: y, r: 3.5, fill: 'var(--ink)'}));
  });
  if (dashed != null)
    s.append(svg('line', {
      x1: x(dashed),
      x2: x(dashed),
      y1: 0,
      y2: rows.length * h,
      stroke: 'var(--soft)',
      'stroke-dasharray': '2 2'
    }));
  return s;
}
function comparison() {
  const c = D.comparison;
  if (!c) return;
  const all = c.models.flatMap(m => m.accuracies),
        span = Math.max(.02, Math.max(...all) - Math.min(...all));
  const lo = Math.floor(100 * Math.max(0, Math.min(...all) - .15 * span)) / 100;
  const hi = Math.ceil(100 * Math.min(1, Math.max(...all) + .15 * span)) / 100;
  const at = v => 100 * (v - lo) / (hi - lo) + '%', body = el('tbody');
  for (const m of c.models) {
    const strip = el('div', {class: 'strip', 'aria-hidden': 'true'});
    if (m.sd != null)
      strip.append(el('i', {
        class: 'span',
        at: {
          left: at(Math.max(lo, m.mean - m.sd)),
          width: 100 * (Math.min(hi, m.mean + m.sd) - Math.max(lo, m.mean - m.sd)) / (hi - lo) + '%'
        }
      }));
    for (const a of m.accuracies) strip.append(el('i', {class: 'dot', at: {left: at(a)}}));
    strip.append(el('i', {class: 'mean', at: {left: at(m.mean)}}));
    body.append(
        el('tr', {},
           el('th', {scope: 'row'}, m.name,
              m.about ? el('span', {class: 'micro', text: ' ' + m.about}) : ''),
           el('td', {}, strip),
           el('td', {class: 'num c-mean'}, el('b', {text: (100 * m.mean).toFixed(1)}),
              m.sd == null ? ' %' : ` ± ${(100 * m.sd).toFixed(1)} %`)));
  }
  const n = Math.max(...c.models.map(m => m.accuracies.length));
  const axis =
      el('div', {class: 'axis', 'aria-hidden': 'true'}, el('span', {text: percent(lo, 0)}),
         el('span', {text: percent(hi, 0)}));
  const fig = el(
      'figure', {'data-name': 'comparison of models'},
      el('table', {class: 'runs'},
         el('thead', {},
            el('tr', {}, el('th', {scope: 'col', text: 'Model'}),
               el('th', {scope: 'col'},
                  el('span', {text: n > 1 ? 'Accuracy: ring, a seed; bar, mean ± sd' : 'Accuracy'}),
                  axis),
               el('th', {scope: 'col', class: 'num c-mean', text: n > 1 ? 'mean ± sd' : ''}))),
         body));
  const rows = () => [['model', ...seedNames(n)], ...c.models.map(m => [m.name, ...m.accuracies])];
  const each =
      el('details', {}, el('summary', {text: 'Every seed'}),
         el('div',
            {class: 'wide', tabindex: 0, role: 'region', 'aria-label': 'Accuracy of every seed'},
            el('table', {},
               el('thead', {},
                  el('tr', {},
                     ...['Model', ...seedNames(n)].map(t => el('th', {scope: 'col', text: t})))),
               el('tbody', {},
                  ...c.models.map(
                      m =>
                          el('tr', {}, el('th', {scope: 'row', text: m.name}),
                             ...m.accuracies.map(
                                 a => el('td', {class: 'num', text: (100 * a).toFixed(1)}))))))));
  $('#compare')
      .append(
          el('div', {}, el('p', {class: 'over', text: c.title}),
             el('h2', {id: 'h-compare', text: c.lead}), el('p', {class: 'small', text: c.why})),
          el('div', {},
             el('div', {class: 'fig-head'}, saver(fig, 'attend-comparison', rows, () => c)), fig,
             each));
  $('#compare').hidden = false;
}
function warning() {
  if (!D.warning) return;
  $('#warning')
      .append(
          el('div', {class: 'note warn', role: 'note'},
             el('p', {class: 'lead', text: 'Warning. ' + D.warning.lead}),
             el('p', {class: 'small', text: D.warning.why})));
}
const seedNames = n =>
    Array.from({length: n}, (_, i) => R.seeds[i] == null ? `run ${i + 1}` : `seed ${R.seeds[i]}`);
