// The list of decisions: live by default, filtered by chips, still while somebody reads it.
import { get, query } from './api.js';
import { h, put } from './dom.js';
import { count } from './format.js';
import { live, watch } from './live.js';
import { OUTCOMES, mark, tone, word } from './outcomes.js';
import { decisionRow } from './rows.js';

/** `rows`: how many are shown live. `compact`: without search and paging. */
export function feed({ rows, compact, reason = '' }) {
  const state = { outcome: null, route: '', reason, paused: false, reading: false, waiting: 0, next: null };
  const list = h('div', { class: 'rows', role: 'list', 'aria-label': 'Decisions' });
  const hint = h('span', { class: 'quiet', role: 'status' });
  const chips = h('div', { class: 'chips', role: 'group', 'aria-label': 'Filter by outcome' });
  const pause = h('button', { class: 'button small', type: 'button', 'aria-pressed': 'false', on: { click: togglePause } }, 'Pause');
  const more = h('div', { class: 'list-tools' });
  const searches = compact ? null : [search('Route', 'route'), search('Reason code', 'reason')];
  const root = h('section', { class: 'card' },
    h('header', {}, h('h2', {}, compact ? 'Latest decisions' : 'Decisions'), hint,
      h('span', { class: 'end' }, compact ? h('a', { href: '#/decisions' }, 'All decisions') : null)),
    h('div', { class: 'list-tools' }, chips, h('span', { class: 'grow' }), searches, pause),
    list, more);

  let shown = [];
  let asked = 0;

  function search(name, key) {
    let timer = 0;
    return h('input', {
      class: 'search', type: 'search', placeholder: name, 'aria-label': `Filter by ${name.toLowerCase()}`, maxlength: '128', spellcheck: 'false', value: state[key],
      on: { input: (event) => { state[key] = event.target.value.trim(); clearTimeout(timer); timer = setTimeout(reload, 300); } },
    });
  }

  const filtered = () => state.outcome !== null || state.route !== '' || state.reason !== '';
  const wanted = (row) => (state.outcome === null || row.outcome === state.outcome)
    && (state.route === '' || row.route === state.route) && (state.reason === '' || row.reason === state.reason);
  const still = () => state.paused || state.reading;

  function drawChips() {
    put(chips, [null, ...OUTCOMES].map((outcome) => h('button', {
      class: `chip ${outcome ? tone(outcome) : ''}`, type: 'button', 'aria-pressed': String(state.outcome === outcome),
      on: { click: () => { state.outcome = outcome; drawChips(); reload(); chips.querySelector('[aria-pressed="true"]').focus(); } },
    }, outcome ? mark(outcome) : null, outcome ? word(outcome) : 'All')));
  }

  function drawHint() {
    const text = state.waiting ? `${count(state.waiting)} new, held while you read` : still() ? 'held still while you read' : 'live';
    put(hint, text);
    pause.setAttribute('aria-pressed', String(state.paused));
    put(pause, state.paused ? 'Resume' : 'Pause');
  }

  function draw(fresh = new Set()) {
    const focused = document.activeElement?.closest?.('.row')?.dataset.id;
    put(list, shown.length ? shown.map((row) => h('div', { role: 'listitem' }, decisionRow(row, fresh.has(row.id))))
      : h('p', { class: 'empty' }, filtered() ? 'No decision matches.' : 'No decisions yet.'));
    if (focused) list.querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    put(more, !compact && state.next !== null && shown.length
      ? h('button', { class: 'button', type: 'button', on: { click: loadOlder } }, 'Older decisions') : null);
    more.hidden = compact || state.next === null;
    drawHint();
  }

  function take() {
    const newest = live.decisions.filter(wanted);
    const seen = new Set(shown.map((row) => row.id));
    const fresh = new Set(newest.filter((row) => !seen.has(row.id)).map((row) => row.id));
    const merged = [...newest, ...shown.filter((row) => !newest.some((other) => other.id === row.id))];
    const first = shown.length === 0;
    shown = merged.sort((a, b) => b.position - a.position).slice(0, rows);
    state.waiting = 0;
    draw(first ? new Set() : fresh);
  }

  async function reload() {
    state.waiting = 0;
    shown = [];
    const ticket = ++asked;
    const params = { outcome: state.outcome, route: state.route, reason: state.reason, limit: Math.min(200, rows) };
    try {
      const { body } = await get(`decisions${query(params)}`);
      if (ticket !== asked) return;
      shown = body.decisions;
      state.next = body.next ?? null;
      draw();
    } catch (problem) {
      if (ticket === asked) put(list, h('p', { class: 'empty' }, problem.message));
    }
  }

  async function loadOlder() {
    const params = { outcome: state.outcome, route: state.route, reason: state.reason, before: shown.at(-1).position, limit: 100 };
    const { body } = await get(`decisions${query(params)}`);
    state.paused = true;
    shown = [...shown, ...body.decisions];
    state.next = body.next ?? null;
    draw();
  }

  function togglePause() {
    state.paused = !state.paused;
    if (state.paused) drawHint(); else { shown = shown.slice(0, rows); take(); }
  }

  const reading = (value) => () => {
    if (state.reading === value) return;
    state.reading = value;
    if (!still() && state.waiting) take(); else drawHint();
  };
  list.addEventListener('pointerenter', (event) => { if (event.pointerType === 'mouse') reading(true)(); });
  list.addEventListener('pointerleave', reading(false));
  list.addEventListener('focusin', reading(true));
  list.addEventListener('focusout', (event) => { if (!list.contains(event.relatedTarget)) reading(false)(); });

  drawChips();
  if (live.decisions.length) take();
  reload();
  const stop = watch((kind) => {
    if (kind !== 'decisions') return;
    const fresh = (live.fresh ?? []).filter(wanted).length;
    if (still()) { state.waiting += fresh + (filtered() ? 0 : live.skipped ?? 0); drawHint(); } else if (fresh) take();
  });
  return { root, stop };
}

export function decisionsPage(main, reason) {
  const list = feed({ rows: 100, compact: false, reason: reason ?? '' });
  put(main, h('div', { class: 'page-head' }, h('h1', {}, 'Decisions'), h('p', {}, 'One record for every request that entered; select one to see why.')), list.root);
  return list.stop;
}
