// Decisions as rows.
import { h } from './dom.js';
import { clock, microsText, money } from './format.js';
import { badge, word } from './outcomes.js';

/** A score as a small bar with its number. */
export function heat(score, name) {
  if (score === null || score === undefined) return h('span', { class: 'heat' });
  const percent = Math.round(Math.max(0, Math.min(1, score)) * 100);
  return h('span', { class: 'heat', title: `${name} ${score.toFixed(3)}` },
    h('span', { class: 'track', 'aria-hidden': 'true' }, h('i', { style: { width: `${percent}%`, '--heat': `${percent}%` } })),
    h('span', {}, score.toFixed(2)));
}

const why = (row) => row.message ?? (row.outcome === 'allow' ? `Answered ${row.status} in ${microsText(row.duration_us)}` : row.stage);

export function decisionRow(row, fresh) {
  const told = `${clock(row.at_ms)}, ${word(row.outcome)}, ${row.method} ${row.route}, ${why(row)}`;
  // Strangeness is a share of normal traffic, so most of what is allowed is a little strange: only what it led to is shown.
  const score = row.fraud ?? (row.outcome === 'allow' ? null : row.anomaly);
  return h('button', {
    class: fresh ? 'row fresh' : 'row', type: 'button', 'data-id': row.id, 'aria-label': told, 'aria-haspopup': 'dialog',
    on: { click: () => { location.hash = place(row.id); } },
  },
  h('span', { class: 'time' }, clock(row.at_ms)),
  badge(row.outcome),
  h('span', { class: 'where' }, h('span', {}, row.method), h('b', {}, row.route === '-' ? 'no route' : row.route)),
  h('span', { class: 'why' }, why(row)),
  heat(score, row.fraud !== null && row.fraud !== undefined ? 'fraud' : 'anomaly'),
  h('span', { class: 'amount' }, money(row.amount_minor, row.currency)));
}

/** The address of a decision's panel over the page that is open. */
export function place(id) {
  const page = location.hash.replace(/^#\//, '').split('/')[0] || 'overview';
  return `#/${page}/decision/${encodeURIComponent(id)}`;
}

/** j and k, or the arrows, move among rows. */
export function moveAmongRows(event) {
  const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
  if (!step) return false;
  const rows = [...document.querySelectorAll('main .row')];
  const here = rows.indexOf(document.activeElement);
  if (here < 0 && event.key.startsWith('Arrow')) return false;
  rows[Math.max(0, Math.min(rows.length - 1, here < 0 ? 0 : here + step))]?.focus();
  return rows.length > 0;
}
