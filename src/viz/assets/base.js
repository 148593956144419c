'use strict';
/* Shared by every report. Data reaches the page through textContent and attributes only. */
const D = JSON.parse(document.getElementById('data').textContent);
const $ = (selector, within = document) => within.querySelector(selector);
const SVG = 'http://www.w3.org/2000/svg';
const STEPS = 10;

function el(tag, props = {}, ...kids) {
  const n = document.createElement(tag);
  for (const [k, v] of Object.entries(props)) {
    if (v == null || v === false) continue;
    if (k === 'text')
      n.textContent = v;
    else if (k.startsWith('on'))
      n.addEventListener(k.slice(2), v);
    else if (k === 'at')
      for (const [p, x] of Object.entries(v)) n.style.setProperty(p, x);
    else
      n.setAttribute(k, v === true ? '' : v);
  }
  n.append(...kids.filter(k => k != null && k !== false && k !== ''));
  return n;
}
function svg(tag, props = {}, ...kids) {
  const n = document.createElementNS(SVG, tag);
  for (const [k, v] of Object.entries(props)) {
    if (k === 'text')
      n.textContent = v;
    else if (v != null)
      n.setAttribute(k, v);
  }
  n.append(...kids);
  return n;
}
const clear = n => {
  n.replaceChildren();
  return n;
};

/* ---- numbers: .07, 1.00, −.31: two decimals, no leading zero, true minus ---- */
function dec(x, places = 2) {
  if (x == null) return '–';
  const s = Math.abs(x).toFixed(places).replace(/^0(?=\.)/, '');
  return (x < 0 && Number(s) !== 0 ? '−' : '') + s;
}
const signed = (x, p = 2) => (x > 0 && Number(x.toFixed(p)) !== 0 ? '+' : '') + dec(x, p);
const percent = (x, places = 1) => (100 * x).toFixed(places) + ' %';
const count = (n, one, many) => `${n.toLocaleString('en')} ${n === 1 ? one : many}`;
const numbers = list => (list || []).filter(x => x != null);
const sum = list => numbers(list).reduce((a, b) => a + b, 0);
const largest = list => numbers(list).reduce((a, b) => Math.max(a, b), 0);
const magnitude = list => numbers(list).reduce((a, b) => Math.max(a, Math.abs(b)), 0);
/* As many decimals as it takes for the printed numbers to add up to what the real ones do. */
function placesFor(list) {
  const all = numbers(list), total = sum(all);
  for (let p = 2; p < 6; p++) {
    if (Math.abs(all.reduce((a, x) => a + Number(x.toFixed(p)), 0) - total) <= .005) return p;
  }
  return 6;
}

/* ---- shading ---- */
const step = (w, top) => (top > 0 && w > 0 ? Math.min(STEPS, Math.round(w / top * STEPS)) : 0);
/* The line under a word: thicker for more effect, dashed when the word speaks against the answer. */
function lined(v, most) {
  const k = Math.round(4 * Math.abs(v ?? 0) / Math.max(.1, most));
  return k === 0 ? '' : ` e${k}` + (v < 0 ? ' con' : '');
}
function ramp(top, label) {
  const r = el('span', {class: 'ramp', 'aria-hidden': 'true'});
  for (let k = 0; k <= STEPS; k++) r.append(el('i', {class: 'w' + k}));
  return el('span', {}, el('span', {text: label + ' 0'}), r, el('span', {text: dec(top)}));
}

/* ---- one tab stop per group: arrows move, Home and End jump ---- */
function roving(box, selector, pick) {
  box.addEventListener('keydown', e => {
    const all = [...box.querySelectorAll(selector)], i = all.indexOf(e.target.closest(selector));
    if (i < 0 || e.altKey || e.ctrlKey || e.metaKey) return;
    const move = {
      ArrowDown: 1,
      ArrowUp: -1,
      ArrowRight: 1,
      ArrowLeft: -1,
      Home: -i,
      End: all.length - 1 - i
    }[e.key];
    if (move === undefined) return;
    e.preventDefault();
    const next = all[i + move];
    if (!next) return;
    oneStop(all, next);
    next.focus();
    pick(next);
  });
}
const oneStop = (list, on) => list.forEach(n => {
  n.tabIndex = n === on ? 0 : -1;
});

/* ---- state lives in the address: #s=3&order=effect. A link to a view is the view ---- */
const state = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
function remember(key, value) {
  if (value == null || value === '')
    delete state[key];
  else
    state[key] = String(value);
  const hash = '#' + new URLSearchParams(state);
  try {
    history.replaceState(null, '', hash);
  } catch (e) {
    location.hash = hash;
  }
}
function segment(legend, name, options, on, pick) {
  const f = el('fieldset', {class: 'seg'}, el('legend', {text: legend}));
  for (const [value, label] of options) {
    f.append(
        el('label', {}, el('input', {
             type: 'radio',
             name,
             value,
             checked: value === on,
             onchange: () => {
               remember(name, value);
               pick(value);
             }
           }),
           el('span', {text: label})));
  }
  return f;
}
