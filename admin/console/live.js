// What the console knows of the running gateway, kept fresh by the event stream.
import { get } from './api.js';

const KEPT = 400;
const WINDOW_MS = 300_000;
const listeners = new Set();

export const live = {
  figures: null,
  pools: null,
  /** Admissions and sheds a second by pool and class, from the totals of two moments. */
  poolRates: new Map(),
  /** What each pool's controller did, newest first, one entry a change. */
  actions: new Map(),
  decisions: [],
  state: 'wait',
  at: 0,
};

/** Calls `listener(kind)` on every change until the returned function is called. */
export function watch(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

const tell = (kind) => { for (const listener of [...listeners]) listener(kind); };

function takeFigures(figures) {
  const old = live.figures?.points ?? [];
  const first = figures.points[0]?.at_ms ?? Infinity;
  const last = figures.points.at(-1)?.at_ms ?? 0;
  const points = [...old.filter((point) => point.at_ms < first && point.at_ms > last - WINDOW_MS), ...figures.points];
  live.figures = { ...figures, points };
  live.at = Date.now();
  tell('figures');
}

function takePools(pools) {
  const before = new Map((live.pools ?? []).map((pool) => [pool.pool, pool]));
  for (const pool of pools) {
    const old = before.get(pool.pool);
    noteActions(pool);
    const now = { at: Date.now(), classes: pool.classes };
    const since = live.poolRates.get(pool.pool);
    if (!since || now.at - since.now.at > 900) live.poolRates.set(pool.pool, { before: since?.now ?? now, now });
    if (!old) continue;
    const known = old.history ?? [];
    const fresh = (pool.history ?? []).filter((point) => point.at_ms > (known.at(-1)?.at_ms ?? 0));
    pool.history = [...known, ...fresh].slice(-900);
    if (!pool.latest?.length) pool.latest = old.latest ?? [];
  }
  live.pools = pools;
  tell('capacity');
}

function noteActions(pool) {
  const known = live.actions.get(pool.pool) ?? [];
  const ticks = (pool.latest ?? []).map((tick) => ({ at_ms: tick.at_ms, ...tick.explanation }));
  const now = { at_ms: pool.history?.at(-1)?.at_ms ?? Date.now(), action: pool.action, reason: pool.reason };
  for (const one of [...ticks, now]) {
    const last = known[0];
    if (last && (one.at_ms <= last.at_ms || one.action === last.action)) continue;
    known.unshift({ at_ms: one.at_ms, action: one.action, reason: one.reason });
  }
  live.actions.set(pool.pool, known.slice(0, 20));
}

/** Requests a second of one class of a pool: [admitted, shed]. */
export function classRates(pool, at) {
  const pair = live.poolRates.get(pool);
  if (!pair || pair.now.at <= pair.before.at) return [0, 0];
  const seconds = (pair.now.at - pair.before.at) / 1000;
  const of = (name) => Math.max(0, pair.now.classes[at][name] - pair.before.classes[at][name]) / seconds;
  return [of('admitted_total'), of('shed_total')];
}

function takeDecisions({ decisions, skipped }) {
  const newest = live.decisions[0]?.position ?? 0;
  const fresh = decisions.filter((row) => row.position > newest).reverse();
  live.decisions = [...fresh, ...live.decisions].slice(0, KEPT);
  live.fresh = fresh;
  live.skipped = skipped;
  tell('decisions');
}

export function replacePools(pools) {
  takePools(pools);
}

function setState(state) {
  if (live.state === state) return;
  live.state = state;
  tell('state');
}

/** Loads the present and opens the stream; calls `ended(reason)` when the gateway closes it for good. */
export async function start(ended) {
  const [figures, pools, page] = await Promise.all([get('figures'), get('capacity'), get('decisions?limit=200')]);
  takeFigures(figures.body);
  takePools(pools.body.pools);
  live.decisions = page.body.decisions;
  tell('decisions');
  open(ended);
}

function open(ended) {
  const source = new EventSource('/api/v1/stream');
  const on = (kind, take) => source.addEventListener(kind, (event) => { setState('on'); take(JSON.parse(event.data)); });
  on('figures', takeFigures);
  on('capacity', takePools);
  on('decisions', takeDecisions);
  source.addEventListener('end', (event) => { source.close(); setState('off'); ended(event.data); });
  source.addEventListener('open', () => setState('on'));
  source.addEventListener('error', () => {
    setState('off');
    if (source.readyState !== EventSource.CLOSED) return;
    // Refused rather than cut: ask why once, then try again at leisure.
    get('me').then(() => setTimeout(() => open(ended), 3000), (problem) => {
      if (problem.status !== 401) setTimeout(() => open(ended), 3000);
    });
  });
}
