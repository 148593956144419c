/* ---- the page draws itself ---- */
const R = D.run, film = D.items[0], S = film.steps;
const grey = film.channels === 1, windows = film.read_size > 0;
const within = t => Math.max(0, Math.min(S.length - 1, (Number(t) || 1) - 1));
let at = within(state.t), shown = state.win || 'both', timer = 0;
const mark = () => {};  // saving asks that nothing be lit

/* Grey images are ink whose opacity is the value, so that they fit either scheme; colours are as they are. */
function picture(text) {
  const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const c = el('canvas', {width: film.width, height: film.height}), g = c.getContext('2d');
  const px = g.createImageData(film.width, film.height);
  for (let i = 0; i < film.width * film.height; i++) {
    px.data.set(grey ? [0, 0, 0, bytes[i]] : [bytes[3 * i], bytes[3 * i + 1], bytes[3 * i + 2], 255],
                4 * i);
  }
  g.putImageData(px, 0, 0);
  return c.toDataURL();
}
const input = picture(film.image), canvases = S.map(s => picture(s.canvas));

/* The square that the filter centres span; the line is as thick as the filters are wide. Read is solid, write dashed. */
function frame(w, n, kind, large) {
  const x = w.x - w.side / 2 + .5, y = w.y - w.side / 2 + .5;
  const thick = Math.max(large ? .3 : .9, Math.min(1.6, w.sigma * .5));
  const r = {x, y, width: w.side, height: w.side}, g = svg('g', {});
  g.append(svg('rect', {...r, class: 'halo', 'stroke-width': thick + .35}),
           svg('rect', {...r, class: kind, 'stroke-width': thick}));
  if (!large || n > 12) return g;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      g.append(svg('circle', {
        class: kind === 'write' ? 'dot of-write' : 'dot',
        cx: w.x + .5 + (j - (n - 1) / 2) * w.stride,
        cy: w.y + .5 + (i - (n - 1) / 2) * w.stride,
        r: .35
      }));
    }
  }
  return g;
}
function framed(url, kinds, step, large) {
  const {width, height} = film;
  const s = svg('svg', {viewBox: `0 0 ${width} ${height}`, 'aria-hidden': 'true'});
  s.append(svg('image', {href: url, width, height}));
  for (const kind of kinds)
    if (step[kind]) s.append(frame(step[kind], film[kind + '_size'], kind, large));
  return el('div', {class: grey ? 'pic grey' : 'pic'}, s);
}
const only = kind => (shown === 'both' || shown === kind ? [kind] : []);

function curve() {
  const W = 440, H = 120, top = Math.max(1e-9, ...S.map(s => s.kl_nats));
  const x = k => 40 + k * (W - 52) / Math.max(1, S.length - 1), y = v => H - 22 - v / top * (H - 34);
  const s = svg(
      'svg',
      {viewBox: `0 0 ${W} ${H}`, role: 'img', 'aria-label': 'Information taken in at each step, in nats'});
  for (const v of [0, top])
    s.append(svg('line', {x1: 36, x2: W - 6, y1: y(v), y2: y(v), stroke: 'var(--rule)'}),
             svg('text', {x: 32, y: y(v) + 4, 'text-anchor': 'end', text: v ? dec(v, 1) : '0'}));
  s.append(
      svg('path', {
        d: S.map((q, k) => (k ? 'L' : 'M') + x(k) + ' ' + y(q.kl_nats)).join(''),
        fill: 'none',
        stroke: 'var(--for)',
        'stroke-width': 1.5
      }),
      svg('circle', {cx: x(at), cy: y(S[at].kl_nats), r: 4, fill: 'var(--ink)'}),
      svg('text', {x: x(0), y: H - 4, 'text-anchor': 'middle', text: 1}));
  if (S.length > 1)
    s.append(svg('text', {x: x(S.length - 1), y: H - 4, 'text-anchor': 'middle', text: S.length}));
  clear($('#curve'))
      .append(el('p', {class: 'micro', text: 'Information taken in at each step, nats (KL of the latents to their prior)'}), s);
}

const onObjects = o => `${percent(o.share, 0)} on the objects (${percent(o.chance, 0)} at a random place, ${percent(o.middle, 0)} in the middle)`;
const say = w => `${dec(w.side, 1)} px wide at (${w.x.toFixed(1)}, ${w.y.toFixed(1)}), σ ${dec(w.sigma)}` +
    (w.on_objects ? `; ${onObjects(w.on_objects)}` : '');
function show(k) {
  at = k;
  remember('t', k + 1);
  $('#t').value = k + 1;
  $('#t-value').textContent = `${k + 1} of ${S.length}`;
  const s = S[k], box = clear($('#now'));
  box.append(
      el('div', {}, framed(input, only('read'), s, true),
         el('p', {class: 'cap', text: windows ? 'Input, and where it is read' : 'Input'})),
      el('div', {}, framed(canvases[k], only('write'), s, true),
         el('p', {class: 'cap', text: windows ? 'Canvas, and where it is written' : 'Canvas'})));
  const out = clear($('#readout'));
  out.append(el('b', {text: `Step ${k + 1}. `}));
  if (s.read) out.append(`Read: ${say(s.read)}. `);
  if (s.write) out.append(`Write: ${say(s.write)}. `);
  out.append(`${dec(s.kl_nats, 1)} nats.`);
  const all = [...$('#strip').children];
  all.forEach((b, i) => b.setAttribute('aria-pressed', String(i === k)));
  oneStop(all, all[k]);
  curve();
}
function strip() {
  const box = clear($('#strip'));
  S.forEach((s, k) => box.append(el(
                'button', {type: 'button', 'aria-label': `step ${k + 1}`, onclick: () => show(k)},
                framed(canvases[k], [...only('read'), ...only('write')], s, false),
                el('span', {text: k + 1}))));
}

function stop() {
  clearInterval(timer);
  timer = 0;
  $('#play').textContent = 'Play';
  $('#play').setAttribute('aria-pressed', 'false');
}
function play() {
  if (timer) return stop();
  if (at === S.length - 1) at = -1;
  const slow = matchMedia('(prefers-reduced-motion: reduce)').matches;
  timer = setInterval(() => {
    show(at + 1);
    if (at === S.length - 1) stop();
  }, slow ? 1200 : 350);
  $('#play').textContent = 'Pause';
  $('#play').setAttribute('aria-pressed', 'true');
}
function controls() {
  const box = $('#controls');
  box.append(
      el('button', {type: 'button', class: 'plain', id: 'play', 'aria-pressed': 'false', text: 'Play', onclick: play}),
      el('label', {}, 'Step ',
         el('input', {type: 'range', id: 't', min: 1, max: S.length, oninput: e => show(e.target.value - 1)})),
      el('output', {id: 't-value'}));
  if (windows)
    box.append(segment(
        'Windows', 'win', [['both', 'both'], ['read', 'read'], ['write', 'write']], shown, v => {
          shown = v;
          strip();
          show(at);
        }));
}
function legend() {
  if (!windows) return;
  const key = (colour, dash, text) => {
    const s = svg('svg', {width: 26, height: 14, viewBox: '0 0 26 14', 'aria-hidden': 'true'});
    s.append(svg('rect', {
      x: 2, y: 2, width: 22, height: 10, fill: 'none', stroke: `var(--${colour})`, 'stroke-width': 2,
      'stroke-dasharray': dash
    }));
    return el('span', {}, s, text);
  };
  $('#legend').append(
      key('look', null, 'read window (solid)'), key('against', '4 2', 'write window (dashed)'),
      el('span', {text: 'thicker line: wider filters (σ)'}));
}
function rows() {
  const kinds = ['read', 'write'].filter(k => S[0][k]), parts = ['x', 'y', 'stride', 'sigma'];
  if (film.on_objects) parts.push('on_objects', 'by_chance', 'in_the_middle');
  const shares = {on_objects: 'share', by_chance: 'chance', in_the_middle: 'middle'};
  const of = (w, p) => (p in shares ? w.on_objects[shares[p]] : w[p]);
  return [
    ['step', 'kl_nats', ...kinds.flatMap(k => parts.map(p => k + '_' + p))],
    ...S.map((s, i) => [i + 1, s.kl_nats, ...kinds.flatMap(k => parts.map(p => of(s[k], p)))])
  ];
}
function table() {
  const [head, ...body] = rows();
  $('#numbers').append(el(
      'div', {class: 'wide'},
      el('table', {},
         el('thead', {}, el('tr', {}, ...head.map(h => el('th', {scope: 'col', class: 'num', text: h.replaceAll('_', ' ')})))),
         el('tbody', {}, ...body.map(r => el('tr', {}, ...r.map((v, i) => el('td', {class: 'num', text: i ? dec(v) : v}))))))));
}

facts();
controls();
legend();
table();
const o = film.output;
$('#sum').textContent = `This image: ${dec(o.kl_nats, 1)} nats taken in + ${
    dec(o.reconstruction_nats, 1)} nats of reconstruction = bound ${dec(o.elbo_nats, 1)} nats.`;
if (film.on_objects)
  $('#sum').textContent += ` Of the windows, a mean over steps: read ${
      onObjects(film.on_objects.read)}; write ${onObjects(film.on_objects.write)}.`;
$('#save-step').append(saver($('#now'), 'attend-draw-step', rows, () => film));
$('#save-strip').append(saver($('#strip'), 'attend-draw-strip', rows, () => film));
roving($('#strip'), 'button', n => show([...$('#strip').children].indexOf(n)));
strip();
show(at);
addEventListener('hashchange', () => {  // a pasted or edited address
  const given = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  if (within(given.t) !== at) show(within(given.t));
});
