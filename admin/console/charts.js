// Charts, drawn as SVG. Each one is made once and redrawn with new figures.
import { h, put, s } from './dom.js';
import { clock, count, micros, rate, value } from './format.js';
import { OUTCOMES, badge, tone } from './outcomes.js';

const WIDTH = 1000;
const PAD = { left: 38, right: 4, top: 8, bottom: 20 };

/** A rounded ceiling for an axis. */
function ceiling(n) {
  const unit = 10 ** Math.floor(Math.log10(Math.max(n, 1e-9)));
  return [1, 2, 2.5, 5, 10].map((step) => step * unit).find((step) => step >= n) ?? 10 * unit;
}

const total = (point) => OUTCOMES.reduce((sum, outcome) => sum + (point.requests[outcome] ?? 0), 0);

/** The frame that charts over time share: scales, rules, labels, a cross-hair for pointer and arrow keys. */
function frame(label, height, describe) {
  const svg = s('svg', { preserveAspectRatio: 'none', role: 'img', 'aria-label': label, tabindex: '0' });
  const tip = h('div', { class: 'tip', hidden: true });
  const root = h('div', { class: 'chart', style: { '--h': `${height}px` } }, svg, tip);
  let shown = null;
  let data = [];
  let place = null;

  function look(at) {
    shown = at === null ? null : Math.max(0, Math.min(data.length - 1, at));
    tip.hidden = shown === null || !data.length;
    svg.querySelector('.cross')?.remove();
    if (tip.hidden) return;
    const x = place(shown);
    svg.append(s('line', { class: 'cross', x1: x, x2: x, y1: PAD.top, y2: height - PAD.bottom }));
    put(tip, describe(data[shown]));
    const share = x / svg.clientWidth;
    tip.style.setProperty(share > 0.6 ? 'right' : 'left', share > 0.6 ? `${svg.clientWidth - x + 10}px` : `${x + 10}px`);
    tip.style.removeProperty(share > 0.6 ? 'left' : 'right');
  }

  svg.addEventListener('pointermove', (event) => {
    const x = event.clientX - svg.getBoundingClientRect().left;
    const inner = svg.clientWidth - PAD.left - PAD.right;
    look(Math.round(((x - PAD.left) / inner) * (data.length - 1)));
  });
  svg.addEventListener('pointerleave', () => look(null));
  svg.addEventListener('blur', () => look(null));
  svg.addEventListener('keydown', (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    look((shown ?? data.length) + step);
  });

  function draw(points, top, unit, layers) {
    data = points;
    const width = svg.clientWidth || WIDTH;
    const inner = width - PAD.left - PAD.right;
    const tall = height - PAD.top - PAD.bottom;
    place = (at) => PAD.left + (points.length > 1 ? (at / (points.length - 1)) * inner : inner);
    const y = (n) => PAD.top + tall * (1 - Math.min(1, n / top));
    const parts = [0, 0.5, 1].flatMap((share) => [
      s('line', { class: 'rule', x1: PAD.left, x2: width - PAD.right, y1: y(top * share), y2: y(top * share) }),
      s('text', { x: PAD.left - 7, y: y(top * share) + 4, 'text-anchor': 'end' }, unit(top * share)),
    ]);
    const ticks = width < 420 ? 2 : 5;
    for (let tick = 0; points.length > 1 && tick <= ticks; tick += 1) {
      const at = Math.round((tick / ticks) * (points.length - 1));
      const anchor = tick === 0 ? 'start' : tick === ticks ? 'end' : 'middle';
      parts.push(s('text', { x: place(at), y: height - 4, 'text-anchor': anchor }, clock(points[at].at_ms).slice(0, 8)));
    }
    svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    put(svg, parts, layers(place, y));
    if (shown !== null) look(shown);
  }
  return { root, draw, describeAs: (text) => svg.setAttribute('aria-label', text) };
}

const line = (points, x, y) => points.map((n, at) => `${at ? 'L' : 'M'}${x(at).toFixed(1)} ${y(n).toFixed(1)}`).join('');

/** Runs of neighbouring known values, so that a gap stays a gap. */
function runs(values) {
  const found = [];
  values.forEach((value, at) => {
    if (value === null || value === undefined) return;
    const last = found.at(-1);
    if (last && last.at(-1)[0] === at - 1) last.push([at, value]);
    else found.push([[at, value]]);
  });
  return found;
}

/** What tells the large layers apart without colour: refusals are hatched, throttling is dotted. */
const TEXTURES = {
  throttle: () => s('circle', { class: 'texture', cx: 3, cy: 3, r: 0.5 }),
  deny: () => s('path', { class: 'texture', d: 'M-1 7 7-1M5 7 7 5M-1 1 1-1' }),
};

const textures = () => s('defs', {}, Object.entries(TEXTURES).map(([outcome, drawn]) =>
  s('pattern', { id: `texture-${outcome}`, width: 6, height: 6, patternUnits: 'userSpaceOnUse' }, drawn())));

/** Requests a second by outcome, stacked, mildest at the bottom. */
export function outcomeChart() {
  const chart = frame('Requests by outcome', 216, (point) => [
    h('b', {}, clock(point.at_ms)),
    h('dl', {}, [...OUTCOMES].reverse().filter((outcome) => point.rates[outcome] > 0).map((outcome) => [
      h('dt', {}, badge(outcome)), h('dd', {}, `${rate(point.rates[outcome])}/s`),
    ])),
  ]);
  return {
    root: chart.root,
    draw(points, stepS) {
      const rates = points.map((point) => ({
        at_ms: point.at_ms,
        rates: Object.fromEntries(OUTCOMES.map((outcome) => [outcome, (point.requests[outcome] ?? 0) / stepS])),
      }));
      const top = ceiling(Math.max(1, ...points.map((point) => total(point) / stepS)) * 1.06);
      chart.draw(rates, top, (n) => (n < 10 && n % 1 ? n.toFixed(1) : count(n)), (x, y) => {
        let floor = rates.map(() => 0);
        return [textures(), OUTCOMES.map((outcome) => {
          const roof = floor.map((below, at) => below + rates[at].rates[outcome]);
          const back = [...floor].map((n, at) => [n, at]).reverse();
          const d = `${line(roof, x, y)}${back.map(([n, at]) => `L${x(at).toFixed(1)} ${y(n).toFixed(1)}`).join('')}Z`;
          const empty = !roof.some((n, at) => n > floor[at]);
          floor = roof;
          if (empty) return null;
          const layer = s('path', { class: `layer ${tone(outcome)}`, d });
          return TEXTURES[outcome] ? [layer, s('path', { d, fill: `url(#texture-${outcome})` })] : layer;
        })];
      });
      const sums = OUTCOMES.map((outcome) => `${outcome.replace('_', '-')} ${count(points.reduce((n, p) => n + p.requests[outcome], 0))}`);
      chart.describeAs(`Requests by outcome over the last five minutes: ${sums.join(', ')}. Arrow keys read single moments.`);
    },
  };
}

/** Several values over time. `series`: [{ name, of(point), dash, tone }] */
export function lineChart(label, height, series, unit, read) {
  const chart = frame(label, height, (point) => [
    h('b', {}, clock(point.at_ms)),
    h('dl', {}, series.map((one) => [h('dt', {}, one.name), h('dd', {}, read(one.of(point)))])),
  ]);
  return {
    root: chart.root,
    draw(points) {
      const values = series.map((one) => points.map((point) => one.of(point)));
      const top = ceiling(Math.max(1, ...values.flat().filter((n) => n !== null && n !== undefined)) * 1.06);
      chart.draw(points, top, unit, (x, y) =>
        values.flatMap((all, at) => runs(all).map((run) => s('path', {
          class: `curve ${series[at].tone ?? ''} ${series[at].dash ? 'dash' : ''}`,
          d: run.map(([i, n], first) => `${first ? 'L' : 'M'}${x(i).toFixed(1)} ${y(n).toFixed(1)}`).join(''),
        }))));
    },
  };
}

export const latencyUnit = (us) => (us === 0 ? '0' : micros(us).join(' ').replace('.0 ', ' '));

/** A small line without axes. */
export function spark() {
  const svg = s('svg', { class: 'spark', viewBox: '0 0 100 34', preserveAspectRatio: 'none', 'aria-hidden': 'true' });
  return {
    root: svg,
    draw(values) {
      const known = values.map((n) => n ?? 0);
      const top = Math.max(1e-9, ...known);
      const d = line(known, (at) => (at / Math.max(1, known.length - 1)) * 100, (n) => 32 - (n / top) * 29);
      put(svg, s('path', { class: 'wash', d: `${d}L100 34L0 34Z` }), s('path', { class: 'curve thin', d, 'vector-effect': 'non-scaling-stroke' }));
    },
  };
}

/** Scores in equal bins over 0 to 1; heights by square root, so that a rare high score is seen beside many low ones. */
export function histogram(name) {
  const bins = h('div', { class: 'bins', role: 'img' });
  return {
    root: h('div', {}, bins, h('div', { class: 'axis' }, h('span', {}, '0'), h('span', {}, '0.5'), h('span', {}, '1'))),
    draw(counts) {
      const top = Math.sqrt(Math.max(1, ...counts));
      put(bins, counts.map((n, at) => h('i', {
        title: `${(at / counts.length).toFixed(2)} to ${((at + 1) / counts.length).toFixed(2)}: ${count(n)}`,
        style: { height: n ? `${Math.max(4, (Math.sqrt(n) / top) * 100)}%` : '1px', '--heat': `${Math.round((at / Math.max(1, counts.length - 1)) * 100)}%` },
      })));
      const high = counts.slice(Math.ceil(counts.length * 0.8)).reduce((sum, n) => sum + n, 0);
      const all = counts.reduce((sum, n) => sum + n, 0);
      bins.setAttribute('aria-label', `${name}: ${count(all)} scores, ${count(high)} of them at 0.8 or above`);
    },
  };
}

/** A share of a whole as a bar. */
export function gauge(name) {
  const bar = h('i');
  const root = h('div', { class: 'gauge', role: 'meter', 'aria-label': name, 'aria-valuemin': '0' }, bar);
  return {
    root,
    draw(part, whole) {
      const share = whole > 0 ? Math.min(1, part / whole) : 0;
      bar.style.setProperty('width', `${(share * 100).toFixed(1)}%`);
      bar.style.setProperty('--c', share > 0.92 ? 'var(--deny)' : share > 0.75 ? 'var(--hold)' : 'var(--accent)');
      root.setAttribute('aria-valuemax', String(Math.round(whole)));
      root.setAttribute('aria-valuenow', String(part));
    },
  };
}

/** Signed contributions around a middle line, strongest first. */
export function contributions(list) {
  const sorted = [...list].sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight)).slice(0, 12);
  const top = Math.max(1e-9, ...sorted.map((one) => Math.abs(one.weight)));
  return h('ul', { class: 'bars' }, sorted.map((one) => h('li', {},
    h('span', { class: 'name', title: one.feature }, one.feature.replaceAll('_', ' '), ' ', h('span', {}, value(Number(one.value)))),
    h('span', { class: 'lane', 'aria-hidden': 'true' }, h('i', { class: one.weight >= 0 ? 'up' : 'down', style: { width: `${(Math.abs(one.weight) / top) * 50}%` } })),
    h('span', { class: 'num' }, `${one.weight >= 0 ? '+' : '−'}${Math.abs(one.weight).toFixed(2)}`))));
}
