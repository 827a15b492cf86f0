// One decision, explained.
import { get } from './api.js';
import { contributions } from './charts.js';
import { byId, h, put, s } from './dom.js';
import { count, microsText, moment, money, percent, sentence, short } from './format.js';
import { badge, tone, word } from './outcomes.js';

const DOTS = { fine: 'M3 8.5l3.2 3.2L13 5', noted: 'M8 3v6.5M8 12.7v.3', stopped: 'M4 4l8 8M12 4l-8 8' };

const dot = (tone) => h('span', { class: 'dot' }, s('svg', { viewBox: '0 0 16 16', 'aria-hidden': 'true' }, s('path', { d: DOTS[tone] ?? DOTS.fine })));

const fact = (name, value) => (value === null || value === undefined || value === '' ? null : h('div', {}, h('dt', {}, name), h('dd', {}, value)));

function facts(detail) {
  const { record } = detail;
  return h('dl', { class: 'facts' },
    fact('When', moment(record.at_ms)),
    fact('Took', microsText(record.duration_us)),
    fact('Answered', record.status ? `${record.status}` : 'client went away'),
    fact('Settled by', record.stage),
    fact('Route', `${record.method} ${record.route}`),
    fact('Application', record.app),
    fact('Amount', record.transfer ? money(record.transfer.amount_minor, record.transfer.currency) : null),
    fact('Customer', record.identity ? h('span', { class: 'mono' }, short(record.identity.subject)) : 'nobody signed in'),
    fact('Source', h('span', { class: 'mono' }, short(record.source))),
    fact('Log position', count(detail.position)),
    fact('Policy', h('span', { class: 'mono' }, short(record.policy))),
    fact('Case', record.case ? h('a', { href: `#/cases/${encodeURIComponent(record.case)}` }, record.case) : null));
}

const story = (steps) => h('ol', { class: 'story' }, steps.map((step) => h('li', { class: step.tone },
  dot(step.tone),
  h('div', {}, h('b', {}, step.stage), step.settled ? [' ', h('span', { class: 'tag' }, 'settled here')] : null, step.sentences.map((text) => h('p', {}, sentence(text)))))));

const reason = (one, shadow) => h('li', { class: `${tone(one.outcome)} ${shadow ? 'shadow' : ''}` },
  h('div', {}, one.message),
  h('div', { class: 'meta' }, badge(one.outcome), h('code', {}, one.code), h('span', {}, `rule ${one.source}`), shadow ? h('span', {}, 'in shadow: no effect') : null));

function score(name, recorded) {
  if (!recorded) return null;
  const known = recorded.value !== null && recorded.value !== undefined;
  return [
    h('h3', {}, name),
    h('div', { class: 'score-line' }, h('b', {}, known ? percent(recorded.value) : 'No score'),
      h('span', { class: 'quiet' }, recorded.model ?? String(recorded.unavailable ?? '').replaceAll('_', ' '))),
    recorded.contributions.length ? contributions(recorded.contributions) : null,
  ];
}

function content(detail) {
  const { record, explanation } = detail;
  return [
    h('h2', { id: 'panel-title', tabindex: '-1' }, explanation.headline),
    facts(detail),
    h('h3', {}, 'What happened'),
    story(explanation.story),
    record.reasons.length ? [h('h3', {}, 'Reasons'), h('ul', { class: 'reasons' }, record.reasons.map((one) => reason(one, false)))] : null,
    record.shadow.length ? [h('h3', {}, 'Rules in shadow'), h('ul', { class: 'reasons' }, record.shadow.map((one) => reason(one, true)))] : null,
    score('What moved the fraud score', record.fraud),
    score('What moved the anomaly score', record.anomaly),
    h('h3', {}, 'Record'),
    h('details', {}, h('summary', {}, 'The whole record, as logged'), h('pre', { tabindex: '0' }, JSON.stringify(record, null, 2))),
  ];
}

let opener = null;
let openId = null;

/** Opens the panel for a decision; `close` is called when somebody closes it. */
export async function openDecision(id, close) {
  const panel = byId('panel');
  if (openId === id) return;
  if (openId === null) opener = document.activeElement;
  openId = id;
  for (const row of document.querySelectorAll('.row[aria-expanded]')) row.removeAttribute('aria-expanded');
  document.querySelector(`.row[data-id="${CSS.escape(id)}"]`)?.setAttribute('aria-expanded', 'true');
  const head = (outcome) => h('header', {}, outcome ? badge(outcome) : null, h('code', { class: 'quiet' }, id),
    h('button', { class: 'icon-button end', type: 'button', 'aria-label': 'Close', on: { click: close } },
      s('svg', { viewBox: '0 0 16 16', fill: 'none', stroke: 'currentColor', 'stroke-width': '1.8', 'stroke-linecap': 'round' }, s('path', { d: DOTS.stopped }))));
  try {
    const { body } = await get(`decisions/${encodeURIComponent(id)}`);
    if (openId !== id) return;
    put(panel, head(body.record.outcome), h('div', { class: 'inside' }, content(body)));
    document.title = `${word(body.record.outcome)} ${id} · Gatehouse`;
  } catch (problem) {
    put(panel, head(null), h('div', { class: 'inside' }, h('h2', { id: 'panel-title', tabindex: '-1' }, problem.status === 404 ? 'There is no such decision.' : problem.message)));
  }
  panel.hidden = false;
  panel.scrollTop = 0;
  byId('panel-title').focus({ preventScroll: true });
}

export function closeDecision() {
  const panel = byId('panel');
  if (openId === null) return;
  const id = openId;
  openId = null;
  panel.hidden = true;
  panel.replaceChildren();
  const row = document.querySelector(`.row[data-id="${CSS.escape(id)}"]`);
  row?.removeAttribute('aria-expanded');
  (row ?? (opener?.isConnected ? opener : byId('main'))).focus({ preventScroll: true });
}
