// The wall: what the gateway is doing now.
import { gauge, histogram, latencyUnit, lineChart, outcomeChart, spark } from './charts.js';
import { h, put, say } from './dom.js';
import { count, micros, microsText, percent, rate } from './format.js';
import { classRates, live, watch } from './live.js';
import { OUTCOMES, badge } from './outcomes.js';
import { feed } from './feed.js';

const CLASSES = ['Money-moving', 'Signed-in reads', 'Anonymous, login', 'Suspicious'];
const STOPPED = ['throttle', 'step_up', 'hold', 'deny'];

const sum = (point, names) => names.reduce((all, name) => all + (point.requests[name] ?? 0), 0);

function tile(title, { href, extra } = {}) {
  const figure = h('p', { class: 'figure' });
  const under = h('p', { class: 'under' });
  const root = h(href ? 'a' : 'section', { class: 'card tile', href }, h('h2', {}, title), figure, under, extra);
  return { root, show(number, unit, text) { put(figure, number, unit ? h('small', {}, unit) : null); put(under, text); } };
}

const card = (title, note, ...content) => h('section', { class: 'card' },
  h('header', {}, h('h2', {}, title), note ? h('span', { class: 'quiet' }, note) : null), content);

/** Finished steps of the chart's last `seconds`. */
function lately(figures, seconds) {
  const steps = Math.max(1, Math.round(seconds / figures.step_s));
  return figures.points.slice(0, -1).slice(-steps);
}

function tiles() {
  const sparks = { requests: spark(), stopped: spark(), latency: spark() };
  const used = gauge('Share of all capacity in use');
  const parts = {
    requests: tile('Requests', { extra: sparks.requests.root }),
    stopped: tile('Stopped', { extra: sparks.stopped.root }),
    latency: tile('Latency p99', { extra: sparks.latency.root }),
    capacity: tile('Capacity in use', { href: '#/capacity', extra: used.root }),
    review: tile('Waiting for review', { href: '#/cases' }),
  };
  function draw() {
    const { figures, pools } = live;
    if (!figures) return;
    const recent = lately(figures, 10);
    const seconds = Math.max(1, recent.length * figures.step_s);
    const minute = lately(figures, 60);
    const all = minute.reduce((n, point) => n + sum(point, OUTCOMES), 0);
    const stopped = minute.reduce((n, point) => n + sum(point, STOPPED), 0);
    const shed = minute.reduce((n, point) => n + point.shed, 0);
    parts.requests.show(rate(recent.reduce((n, point) => n + sum(point, OUTCOMES), 0) / seconds), '/s', `${count(all)} in the last minute`);
    parts.stopped.show(percent(all ? stopped / all : 0).replace(' %', ''), '%', `${count(stopped)} stopped, ${count(shed)} shed in a minute`);
    const [p99, unit] = micros(figures.latency.p99_us);
    parts.latency.show(p99, unit, `p50 ${microsText(figures.latency.p50_us)}, p90 ${microsText(figures.latency.p90_us)}`);
    const busy = (pools ?? []).reduce((n, pool) => n + pool.in_flight, 0);
    const limit = (pools ?? []).reduce((n, pool) => n + pool.limit, 0);
    parts.capacity.show(percent(limit ? busy / limit : 0, 0).replace(' %', ''), '%', `${count(busy)} in flight of ${count(Math.round(limit))}`);
    used.draw(busy, limit);
    parts.review.show(count(figures.cases_open), '', figures.cases_open === 1 ? 'held transfer' : 'held transfers');
    const done = figures.points.slice(0, -1);
    sparks.requests.draw(done.map((point) => sum(point, OUTCOMES)));
    sparks.stopped.draw(done.map((point) => sum(point, STOPPED)));
    sparks.latency.draw(done.map((point) => point.p99_us));
  }
  return { root: h('div', { class: 'tiles' }, Object.values(parts).map((part) => part.root)), draw };
}

function traffic() {
  const chart = outcomeChart();
  const legend = h('div', { class: 'legend' });
  function draw() {
    const { figures } = live;
    if (!figures) return;
    const done = figures.points.slice(0, -1);
    chart.draw(done, figures.step_s);
    put(legend, OUTCOMES.map((outcome) => h('span', {}, badge(outcome), ' ', h('b', {}, count(done.reduce((n, point) => n + point.requests[outcome], 0))))));
  }
  const root = card('Requests by outcome', 'per second, last five minutes', h('div', { class: 'body' }, chart.root), legend);
  return { root, draw };
}

function latency() {
  const chart = lineChart('Latency over the last five minutes', 128, [
    { name: 'p99', of: (point) => point.p99_us, tone: 'is-observe' },
    { name: 'p50', of: (point) => point.p50_us, tone: 'is-allow', dash: true },
  ], latencyUnit, microsText);
  const keys = h('div', { class: 'legend' },
    h('span', { class: 'key is-observe' }, h('i'), 'p99'), h('span', { class: 'key dash is-allow' }, h('i'), 'p50'));
  return {
    root: card('Latency', 'entry to last byte', h('div', { class: 'body' }, chart.root), keys),
    draw() { if (live.figures) chart.draw(live.figures.points.slice(0, -1)); },
  };
}

/** One pool: how full, who gets what, and what the controller says. */
export function poolCard(name) {
  const meter = gauge(`Requests in flight in pool ${name}`);
  const head = h('div', { class: 'pool-head' });
  const table = h('tbody');
  const says = h('div', { class: 'says' });
  const root = h('section', { class: 'card' },
    h('header', {}, h('h2', {}, `Capacity of ${name}`), h('span', { class: 'quiet' }, 'in flight and limit')),
    h('div', { class: 'body' }, head, meter.root,
      h('table', { class: 'classes' },
        h('thead', {}, h('tr', {}, ['Class', 'In flight', 'Admitted/s', 'Shed/s'].map((text) => h('th', { scope: 'col' }, text)))), table),
      says));
  function draw() {
    const pool = (live.pools ?? []).find((one) => one.pool === name);
    if (!pool) return;
    put(head, h('span', { class: 'figure' }, count(pool.in_flight)), h('span', { class: 'quiet' }, `of ${count(Math.round(pool.limit))}`),
      pool.queued ? h('span', { class: 'tag warn' }, `${count(pool.queued)} waiting`) : null,
      h('span', { class: 'tag' }, pool.mode ?? pool.controller), pool.fallback ? h('span', { class: 'tag warn' }, 'fall-back') : null);
    meter.draw(pool.in_flight, pool.limit);
    put(table, pool.classes.map((figures, at) => {
      const [admitted, shed] = classRates(name, at);
      return h('tr', {}, h('th', { scope: 'row' }, CLASSES[at]), h('td', {}, `${figures.in_flight} / ${figures.threshold}`),
        h('td', {}, rate(admitted)), h('td', { class: shed > 0 ? 'some' : 'quiet' }, rate(shed)));
    }));
    put(says, h('b', {}, pool.action || 'No action yet'), pool.reason ? h('p', {}, pool.reason) : null);
  }
  return { root, draw };
}

function pools() {
  const root = h('div', { class: 'stack' });
  const cards = new Map();
  return {
    root,
    draw() {
      for (const pool of live.pools ?? []) {
        if (cards.has(pool.pool) || cards.size >= 2) continue;
        const made = poolCard(pool.pool);
        cards.set(pool.pool, made);
        root.append(made.root);
      }
      for (const made of cards.values()) made.draw();
    },
  };
}

function scores() {
  const fraud = histogram('Fraud scores');
  const anomaly = histogram('Anomaly scores');
  const reasons = h('ol', { class: 'ranks' });
  const root = h('div', { class: 'stack' },
    h('div', { class: 'grid pair' },
      h('div', { class: 'w6' }, card('Fraud scores', 'transfers by score', h('div', { class: 'body' }, fraud.root))),
      h('div', { class: 'w6' }, card('Anomaly scores', 'requests by score', h('div', { class: 'body' }, anomaly.root)))),
    card('Leading reasons', 'last five minutes', h('div', { class: 'body' }, reasons)));
  return {
    root,
    draw() {
      const { figures } = live;
      if (!figures) return;
      fraud.draw(figures.fraud_bins);
      anomaly.draw(figures.anomaly_bins);
      const top = Math.max(1, ...figures.reasons.map((one) => one.count));
      put(reasons, figures.reasons.length
        ? figures.reasons.slice(0, 7).map((one) => h('li', {}, h('i', { style: { width: `${(one.count / top) * 100}%` } }), h('a', { href: `#/decisions/${encodeURIComponent(one.code)}` }, h('code', {}, one.code)), h('span', {}, count(one.count))))
        : h('li', { class: 'quiet' }, 'Nothing but allows.'));
    },
  };
}

export function overview(main) {
  const parts = [tiles(), traffic(), pools(), latency(), scores()];
  const [head, chart, capacity, times, score] = parts;
  const decisions = feed({ rows: 14, compact: true });
  put(main, h('h1', { class: 'unseen' }, 'Overview'), head.root,
    h('div', { class: 'grid' },
      h('div', { class: 'w8 stack' }, chart.root, decisions.root),
      h('div', { class: 'w4 stack' }, capacity.root, times.root, score.root)));
  const draw = () => parts.forEach((part) => part.draw());
  draw();
  let open = live.figures?.cases_open ?? 0;
  const stop = watch((kind) => {
    if (kind === 'figures') {
      [head, chart, times, score].forEach((part) => part.draw());
      if (live.figures.cases_open > open) say(`${live.figures.cases_open} cases wait for review`, true);
      open = live.figures.cases_open;
    }
    if (kind === 'capacity') capacity.draw();
  });
  const resize = () => draw();
  window.addEventListener('resize', resize);
  return () => { stop(); decisions.stop(); window.removeEventListener('resize', resize); };
}
