/* ---- saving: SVG, PNG, CSV, JSON ---- */
function download(name, blob) {
  const a = el('a', {href: URL.createObjectURL(blob), download: name});
  document.body.append(a);
  a.click();
  a.remove();
  setTimeout(() => URL.revokeObjectURL(a.href), 1e4);
}
const invisible = c => c === 'transparent' || /,\s*0\)$/.test(c);
const KEPT = [
  'fill', 'stroke', 'stroke-width', 'stroke-dasharray', 'opacity', 'font-size', 'font-weight',
  'font-family'
];
const LEFT_OUT = '.vh, .save, details, select, input, button.plain, .controls';

function vector(n) {  // an inner svg, its computed style written into attributes
  const copy = n.cloneNode(true), from = [n, ...n.querySelectorAll('*')],
        to = [copy, ...copy.querySelectorAll('*')];
  from.forEach((f, i) => {
    const s = getComputedStyle(f);
    for (const p of KEPT) {
      const v = s.getPropertyValue(p);
      if (v && (v !== 'none' || p === 'fill' || p === 'stroke')) to[i].setAttribute(p, v);
    }
    for (const a of ['class', 'tabindex', 'id', 'aria-hidden']) to[i].removeAttribute(a);
  });
  return copy;
}

/* Canvases of a figure, painted anew in its colours: each has its painter here. */
const painters = new WeakMap();
const repaint = within => within.querySelectorAll('canvas').forEach(c => painters.get(c)?.());
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => repaint(document));
addEventListener('beforeprint', () => repaint(document));
addEventListener('afterprint', () => repaint(document));

/* Redraws a figure as real SVG (boxes, rules, text word by word), always in the light scheme. */
function toSvg(fig) {
  mark(null);
  fig.classList.add('as-light');
  repaint(fig);
  const o = fig.getBoundingClientRect(), pad = 12, root = svg('svg', {xmlns: SVG});
  const pen = document.createElement('canvas').getContext('2d');
  let right = o.width, bottom = o.height;
  const X = x => +(x - o.left + pad).toFixed(2), Y = y => +(y - o.top + pad).toFixed(2);
  const grow = r => {
    right = Math.max(right, r.right - o.left);
    bottom = Math.max(bottom, r.bottom - o.top);
  };
  function box(r, s) {
    if (!invisible(s.backgroundColor)) {
      root.append(svg('rect', {
        x: X(r.left),
        y: Y(r.top),
        width: +r.width.toFixed(2),
        height:
            +(r.height - (s.backgroundClip === 'padding-box' ? parseFloat(s.borderBottomWidth) : 0))
                 .toFixed(2),
        rx: parseFloat(s.borderTopLeftRadius) || 0,
        fill: s.backgroundColor
      }));
    }
    for (const [side, x1, y1, x2, y2] of [
             ['top', r.left, r.top, r.right, r.top], ['right', r.right, r.top, r.right, r.bottom],
             ['bottom', r.left, r.bottom, r.right, r.bottom],
             ['left', r.left, r.top, r.left, r.bottom]]) {
      const w = parseFloat(s.getPropertyValue(`border-${side}-width`)),
            c = s.getPropertyValue(`border-${side}-color`);
      if (!(w > 0) || invisible(c)) continue;
      const dy = {top: w / 2, bottom: -w / 2}[side] || 0;  // a border lies inside its box
      root.append(svg('line', {
        x1: X(x1),
        y1: Y(y1 + dy),
        x2: X(x2),
        y2: Y(y2 + dy),
        stroke: c,
        'stroke-width': w,
        'stroke-dasharray': s.getPropertyValue(`border-${side}-style`) === 'dashed' ? '5 3' : null
      }));
    }
  }
  function words(t, s) {
    if (!t.data.trim()) return;
    pen.font = `${s.fontWeight} ${s.fontSize} ${s.fontFamily}`;
    const m = pen.measureText('x'),
          up = m.fontBoundingBoxAscent / (m.fontBoundingBoxAscent + m.fontBoundingBoxDescent);
    for (const w of t.data.matchAll(/\S+/g)) {
      const g = document.createRange();
      g.setStart(t, w.index);
      g.setEnd(t, w.index + w[0].length);
      const r = g.getBoundingClientRect();
      if (!r.width) continue;
      grow(r);
      root.append(svg('text', {
        x: X(r.left),
        y: Y(r.top + r.height * up),
        fill: s.color,
        'font-size': s.fontSize,
        'font-weight': s.fontWeight,
        'font-family': s.fontFamily,
        textLength: r.width.toFixed(2),
        lengthAdjust: 'spacingAndGlyphs',
        text: w[0]
      }));
    }
  }
  (function walk(n) {
    const s = getComputedStyle(n), r = n.getBoundingClientRect();
    if (s.display === 'none' || s.visibility === 'hidden' || n.matches(LEFT_OUT)) return;
    if (n !== fig) grow(r);
    if (n.localName === 'svg') {
      const v = vector(n);
      for (const [k, x] of [
               ['x', X(r.left)], ['y', Y(r.top)], ['width', r.width], ['height', r.height]])
        v.setAttribute(k, x);
      root.append(v);
      return;
    }
    if (n.localName === 'canvas' || n.localName === 'img') {
      root.append(svg('image', {
        x: X(r.left),
        y: Y(r.top),
        width: r.width,
        height: r.height,
        href: n.localName === 'img' ? n.src : n.toDataURL(),
        preserveAspectRatio: 'none'
      }));
      return;
    }
    if (n !== fig) box(r, s);
    for (const k of n.childNodes) {
      if (k.nodeType === 1)
        walk(k);
      else if (k.nodeType === 3)
        words(k, s);
    }
  })(fig);
  const w = Math.ceil(right + 2 * pad), h = Math.ceil(bottom + 2 * pad);
  for (const [k, v] of [['width', w], ['height', h], ['viewBox', `0 0 ${w} ${h}`]])
    root.setAttribute(k, v);
  root.prepend(
      svg('title', {text: fig.dataset.name}), svg('desc', {text: $('.over').textContent}),
      svg('rect',
          {width: w, height: h, fill: getComputedStyle(fig).getPropertyValue('--paper').trim()}));
  fig.classList.remove('as-light');
  repaint(fig);
  return {text: new XMLSerializer().serializeToString(root), w, h};
}
function savePng(fig, name) {  // that SVG at twice its size, at most 8192 px
  const {text, w, h} = toSvg(fig),
                  url = URL.createObjectURL(new Blob([text], {type: 'image/svg+xml'})),
                  img = new Image();
  img.onload = () => {
    const k = Math.min(2, 8192 / Math.max(w, h)),
          c = el('canvas', {width: Math.round(w * k), height: Math.round(h * k)});
    const g = c.getContext('2d');
    g.scale(k, k);
    g.drawImage(img, 0, 0);
    URL.revokeObjectURL(url);
    c.toBlob(b => download(name + '.png', b));
  };
  img.src = url;
}
function cell(value) {  // a spreadsheet must not take a word for a formula
  let s = String(value ?? '');
  if (/^[=+@\t\r-]/.test(s) && isNaN(s)) s = '\'' + s;
  return /[",\r\n]/.test(s) ? '"' + s.replace(/"/g, '""') + '"' : s;
}
/* rows(): array of arrays for CSV; item(): the object for JSON */
function saver(fig, name, rows, item) {
  const b = (label, go) => el('button', {
    type: 'button',
    'aria-label': `Save ${fig.dataset.name} as ${label}`,
    text: label,
    onclick: go
  });
  const text = (kind, s) => new Blob([s], {type: kind});
  return el(
      'div', {class: 'save', role: 'group', 'aria-label': 'Save'}, el('span', {text: 'Save'}),
      b('SVG', () => download(name + '.svg', text('image/svg+xml', toSvg(fig).text))),
      b('PNG', () => savePng(fig, name)),
      b('CSV',
        () => download(
            name + '.csv',
            text('text/csv', rows().map(r => r.map(cell).join(',')).join('\n') + '\n'))),
      b('JSON',
        () => download(
            name + '.json', text('application/json', JSON.stringify(item(), null, 1) + '\n'))));
}
