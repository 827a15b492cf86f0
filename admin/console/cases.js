// The review queue.
import { get, post, query } from './api.js';
import { ask } from './ask.js';
import { h, put, say } from './dom.js';
import { ago, moment, money, percent, sentence, short, span } from './format.js';
import { head, load } from './pages.js';
import { live, watch } from './live.js';
import { place } from './rows.js';
import { may } from './who.js';

const STATUS = [['open', 'Open'], ['released', 'Released'], ['rejected', 'Rejected'], ['spent', 'Went through'], ['expired', 'Expired'], [null, 'All']];

/** As many as are judged at a sitting. */
const PAGE = 12;

export function casesPage(main, chosen) {
  const state = { status: chosen ? null : 'open', cases: [], next: null };
  const chips = h('div', { class: 'chips', role: 'group', 'aria-label': 'Filter by status' });
  const list = h('div', { class: 'cards' });
  const more = h('div', { class: 'actions' });
  put(main, head('Cases', may('analyst') ? 'Held transfers wait here for your verdict.' : 'Held transfers wait here for an analyst.'), h('div', { class: 'stack' }, chosen ? null : chips, list, more));

  async function judge(one, verdict) {
    const release = verdict === 'release';
    const answer = await ask({
      title: release ? 'Release this transfer?' : 'Reject this transfer?',
      text: `${money(one.amount_minor, one.currency)}: ${release ? 'the customer may send it again, once.' : 'it is marked as fraud and stays refused.'}`,
      yes: release ? 'Release' : 'Reject', danger: !release, note: true,
      fields: release ? [{ name: 'found', label: 'What was it?', options: [['', 'Not known'], ['legitimate', 'Legitimate']] }] : [],
    });
    if (!answer) return;
    try {
      const { etag } = await get(`cases/${encodeURIComponent(one.id)}`);
      if (etag !== `"r${one.revision}"`) throw new Error('Somebody else changed this case; look again.');
      await post(`cases/${encodeURIComponent(one.id)}/verdict`, { verdict, fraud: answer.found ? false : null, note: answer.note || null }, etag);
      say(`Case ${one.id} ${release ? 'released' : 'rejected'}`, true);
    } catch (problem) {
      await ask({ title: 'No verdict given', text: problem.message });
    }
    await show();
  }

  function caseCard(one) {
    const open = one.status === 'open';
    const left = one.expires_at_ms - Date.now();
    return h('section', { class: 'card case', 'aria-label': `Case ${one.id}` },
      h('header', {}, h('h2', {}, h('code', {}, one.id)), h('span', { class: 'quiet' }, ago(one.opened_at_ms)),
        h('span', { class: `tag end ${open ? 'warn' : ''}` }, STATUS.find(([status]) => status === one.status)?.[1] ?? one.status)),
      h('div', { class: 'body' },
        h('p', { class: 'sum' }, money(one.amount_minor, one.currency)),
        h('ul', {}, one.reasons.map((text) => h('li', {}, sentence(text)))),
        h('dl', { class: 'pairs' },
          h('dt', {}, 'Fraud probability'), h('dd', {}, one.fraud === null ? 'no score' : percent(one.fraud)),
          h('dt', {}, 'Customer'), h('dd', {}, h('code', {}, short(one.subject, 12))),
          h('dt', {}, 'To'), h('dd', {}, h('code', {}, short(one.to, 12))),
          open ? [h('dt', {}, 'Time left'), h('dd', {}, left > 0 ? span(left) : 'none')] : null,
          one.judged_by ? [h('dt', {}, 'Judged by'), h('dd', {}, `${one.judged_by}, ${moment(one.judged_at_ms)}`)] : null,
          one.note ? [h('dt', {}, 'Note'), h('dd', { title: one.note }, one.note)] : null),
        h('div', { class: 'actions' },
          open && may('analyst') ? [
            h('button', { class: 'button primary', type: 'button', on: { click: () => judge(one, 'release') } }, 'Release'),
            h('button', { class: 'button danger', type: 'button', on: { click: () => judge(one, 'reject') } }, 'Reject')] : null,
          h('a', { class: 'button', href: place(one.decision_id) }, 'Why it was held'))));
  }

  function draw() {
    put(chips, STATUS.map(([status, name]) => h('button', {
      class: 'chip', type: 'button', 'aria-pressed': String(state.status === status),
      on: { click: () => { state.status = status; load(main, 'Cases', show); } },
    }, name)));
    put(list, state.cases.length ? state.cases.map(caseCard) : h('p', { class: 'card empty' }, state.status === 'open' ? 'Nothing waits for review.' : 'No such cases.'));
    put(more, state.next ? h('button', { class: 'button', type: 'button', on: { click: () => show(state.next) } }, 'Older cases') : null);
  }

  async function show(after) {
    if (chosen) {
      state.cases = [(await get(`cases/${encodeURIComponent(chosen)}`)).body];
    } else {
      const { body } = await get(`cases${query({ status: state.status, after, limit: PAGE })}`);
      state.cases = after ? [...state.cases, ...body.cases] : body.cases;
      state.next = body.next ?? null;
    }
    draw();
  }

  put(list, h('p', { class: 'card empty' }, 'Looking for cases…'));
  load(main, 'Cases', show);
  let open = live.figures?.cases_open;
  return watch((kind) => {
    if (kind !== 'figures' || live.figures.cases_open === open) return;
    open = live.figures.cases_open;
    if (!chosen && !document.querySelector('dialog[open]')) show().catch(() => {});
  });
}
