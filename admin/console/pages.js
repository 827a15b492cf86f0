// The quieter pages: capacity, models, policies, sessions, audit.
import { get, post } from './api.js';
import { ask } from './ask.js';
import { lineChart } from './charts.js';
import { h, put, say } from './dom.js';
import { ago, clock, count, moment, short, value, words } from './format.js';
import { live, replacePools, watch } from './live.js';
import { badge } from './outcomes.js';
import { poolCard } from './overview.js';
import { may } from './who.js';

export const head = (title, text) => h('div', { class: 'page-head' }, h('h1', {}, title), text ? h('p', {}, text) : null);
export const card = (title, note, ...content) => h('section', { class: 'card' },
  title ? h('header', {}, h('h2', {}, title), note ? h('span', { class: 'quiet' }, note) : null) : null, content);
const cell = (content, name) => h('td', { class: name }, content);
const columns = (names) => h('thead', {}, h('tr', {}, names.map((name) => h('th', { scope: 'col', class: name.startsWith('>') ? 'end' : null }, name.replace('>', '')))));
export const table = (names, rows, empty, kind = '') => (rows.length
  ? h('div', { class: 'scroll' }, h('table', { class: `plain ${kind}` }, columns(names), h('tbody', {}, rows)))
  : h('p', { class: 'empty' }, empty));

/** Runs a loading function and shows what went wrong instead of nothing. */
export async function load(main, title, work) {
  try {
    await work();
  } catch (problem) {
    put(main, head(title), card(null, null, h('p', { class: 'empty' }, problem.message)));
  }
}

const MODES = [['q-learning', 'The learner decides, gradient as its fall-back'], ['gradient', 'The gradient controller decides'], ['static', 'The configured allocation applies'], ['freeze', 'Everything stays as it is']];

export function capacityPage(main) {
  const made = new Map();
  const body = h('div', { class: 'stack' });
  put(main, head('Capacity', 'What the applications are given, who gets it, and who decides.'), body);

  async function setMode(pool, mode) {
    const answer = await ask({ title: `Set ${pool} to ${mode}?`, text: MODES.find(([name]) => name === mode)[1] + '. The call is put on record.', yes: 'Set mode' });
    if (!answer) return;
    const { etag } = await get('capacity');
    const { body: now } = await post('capacity', { pool, mode }, etag);
    replacePools(now.pools);
    say(`${pool} is now in mode ${mode}`, true);
  }

  function section(name) {
    const now = poolCard(name);
    const history = lineChart(`Limit and requests in flight of ${name}`, 180, [
      { name: 'Limit', of: (point) => point.limit, tone: 'is-observe' },
      { name: 'In flight', of: (point) => point.in_flight, tone: 'is-allow' },
    ], (n) => count(Math.round(n)), (n) => count(Math.round(n)));
    const modes = h('div', { class: 'actions' });
    const choices = h('tbody');
    const said = h('ol', { class: 'log' });
    const state = h('p', { class: 'quiet' });
    const root = h('div', { class: 'grid' },
      h('div', { class: 'w5' }, now.root),
      h('div', { class: 'w7 stack' },
        card('Last 15 minutes', 'limit and requests in flight', h('div', { class: 'body' }, history.root)),
        card('Controller', null, h('div', { class: 'body' }, h('p', { class: 'quiet' }, may('operator') ? 'Mode of operation' : 'Mode of operation (set by operators)'), modes, state, h('table', { class: 'classes' }, choices))),
        card('What the controller did', 'newest first, while this page was open or just before', h('div', { class: 'body' }, said))));
    function draw() {
      now.draw();
      const pool = live.pools.find((one) => one.pool === name);
      if (pool.history.length > 1) history.draw(pool.history);
      put(state, pool.state ? `It takes the situation to be: ${pool.state}.` : '', pool.reward === null || pool.reward === undefined ? '' : ` Reward of the last tick ${pool.reward.toFixed(2)}.`);
      put(said, (live.actions.get(name) ?? []).map((one) => h('li', {}, h('span', { class: 'quiet' }, clock(one.at_ms)), h('b', {}, one.action || '–'), h('p', { class: 'quiet' }, one.reason))));
      if (modes.contains(document.activeElement)) return;
      put(modes, pool.mode === null ? h('span', { class: 'tag' }, pool.controller) : MODES.map(([mode, text]) => h('button', {
        class: 'chip', type: 'button', title: text, 'aria-pressed': String(pool.mode === mode), disabled: !may('operator'),
        on: { click: () => setMode(name, mode).catch((problem) => ask({ title: 'Not set', text: problem.message })) },
      }, mode)));
      put(choices, pool.q_values.map((one) => h('tr', {}, h('th', { scope: 'row' }, words(one.table)), h('td', {}, one.chosen), h('td', { class: 'quiet' }, `${count(one.visits)} visits`))));
    }
    return { root, draw };
  }

  function draw() {
    for (const pool of live.pools ?? []) {
      if (!made.has(pool.pool)) {
        made.set(pool.pool, section(pool.pool));
        body.append(made.get(pool.pool).root);
      }
    }
    for (const one of made.values()) one.draw();
    if (!made.size) put(body, card(null, null, h('p', { class: 'empty' }, 'No upstream pool is under capacity control.')));
  }
  draw();
  return watch((kind) => { if (kind === 'capacity') draw(); });
}

export function modelsPage(main) {
  load(main, 'Models', async () => {
    const { models } = (await get('models')).body;
    put(main, head('Models', 'In use now, with the figures they reached on unseen data.'),
      models.length ? h('div', { class: 'cards' }, models.map((model) => modelCard(main, model))) : card(null, null, h('p', { class: 'empty' }, 'No model is loaded: the policy says what happens without scores.')));
  });
}

/** The figures that say how good a model is, by the end of their names; the training report has all of them. */
const TELLING = ['auprc', 'auroc', 'precision', 'recall', 'f1', 'false_positive_rate', 'brier', 'ece'];

function telling(metrics) {
  const found = Object.entries(metrics).filter(([name]) => !name.includes('baselines') && TELLING.includes(name.split('.').at(-1)));
  // Of several thresholds the strictest comes last.
  return new Map(found.map(([name, n]) => [name.split('.').at(-1), n]));
}

function modelCard(main, model) {
  const named = (name) => (/^(au|f\d|p\d|r\d|mse|ece)/.test(name) && name.length < 6 ? name.toUpperCase() : words(name));
  const pair = (name, text) => [h('dt', {}, name), h('dd', { title: text }, text)];
  return card(model.name, model.kind, h('div', { class: 'body' },
    h('dl', { class: 'metrics' }, [...telling(model.metrics)].map(([name, n]) => h('div', {}, h('dt', {}, named(name)), h('dd', {}, n > 0 && n <= 1 ? n.toFixed(3) : value(n))))),
    h('dl', { class: 'pairs' },
      pair('Version', model.version),
      Object.entries(model.thresholds).map(([name, n]) => pair(`Threshold ${words(name)}`, n.toFixed(3))),
      model.trained_on ? pair('Trained on', model.trained_on) : null,
      pair('Loaded', moment(model.loaded_at_ms)),
      pair('Artifact', h('code', {}, short(model.hash, 16))),
      pair('Features', h('code', {}, short(model.schema_hash, 16)))),
    model.life ? lifeOf(main, model) : null));
}

/** What a model that learns on is up to, and the buttons for who may press them. */
function lifeOf(main, { name, hash, life }) {
  const pair = (what, text) => (text ? [h('dt', {}, what), h('dd', { title: text }, text)] : null);
  const percent = (share) => `${(100 * share).toFixed(2)} %`;
  const { retraining, challenger, proposal, drift, calibration, shadow, recorded } = life;
  const found = challenger?.comparison;
  const worst = drift?.features[0];
  const change = async (what, question, text) => {
    const answer = await ask({ title: question, text: `${text} The call is put on record.`, yes: words(what), danger: what === 'rollback' });
    if (!answer) return;
    await post(`models/${name}/${what}`, what === 'rollback' ? { from: hash } : {}, what === 'retrain' ? null : `"m${life.revision}"`);
    say(`${words(what)}: done`);
    modelsPage(main);
  };
  const act = (what, role, enabled, question, text) => (may(role) ? h('button', {
    class: 'button', type: 'button', disabled: !enabled,
    on: { click: () => change(what, question, text).catch((problem) => ask({ title: 'Not done', text: problem.message })) },
  }, words(what)) : null);
  return h('div', {},
    h('dl', { class: 'pairs' },
      pair('Challenger', challenger ? short(challenger.hash, 16) : 'none'),
      pair('Gain in AUPRC', found ? `${found.gain.toFixed(3)} (${found.interval.map((n) => n.toFixed(3)).join(' to ')}), ${found.standing}` : null),
      pair('In shadow', shadow.scored ? `${count(shadow.scored)} scored, ${count(shadow.stricter)} stricter, ${count(shadow.milder)} milder${life.shadow_unknown === null ? '' : `, ${percent(life.shadow_unknown)} of unknown outcome`}` : null),
      pair('Proposed by', proposal ? `${proposal.by}, ${moment(proposal.at_ms)}` : null),
      pair('Drift', drift ? `score ${drift.score.toFixed(3)}, worst ${worst.feature} ${worst.psi.toFixed(3)}` : 'too few transfers to tell'),
      pair('Fraud expected', calibration ? `${percent(calibration.expected)}, observed ${percent(calibration.observed)}` : null),
      pair('Labels', `${count(recorded.labels)}, ${count(recorded.frauds)} of them fraud`),
      pair('Hindered', retraining.hindrance),
      pair('Training', retraining.since_ms ? `since ${moment(retraining.since_ms)}` : retraining.said),
      life.refused.map((said) => pair('Refused', said))),
    h('div', { class: 'actions' },
      act('retrain', 'operator', !retraining.since_ms, 'Train a challenger?', 'It learns beside the traffic and scores in shadow.'),
      act('promote', 'operator', challenger && !proposal, 'Propose the challenger?', 'Somebody else has to approve it.'),
      act('approve', 'approver', proposal, 'Approve the challenger?', 'It serves from the next request on.'),
      act('rollback', 'operator', life.previous.length, 'Go back to the champion before?', 'It serves from the next request on.')));
}

export function policiesPage(main, version) {
  load(main, 'Policies', async () => {
    const { policies } = (await get('policies')).body;
    const chosen = policies.find((one) => one.version === version) ?? policies.find((one) => one.active) ?? policies[0];
    if (!chosen) { put(main, head('Policies'), card(null, null, h('p', { class: 'empty' }, 'No policy document is loaded.'))); return; }
    const document = (await get(`policies/${encodeURIComponent(chosen.version)}`)).body;
    const rows = document.rule_hits.map((rule) => h('tr', {},
      cell([h('b', {}, rule.id), h('div', { class: 'quiet' }, rule.description)]),
      cell(h('code', {}, rule.when)),
      cell(badge(rule.outcome)),
      cell(h('span', { class: `tag ${rule.mode === 'enforce' ? 'good' : rule.mode === 'shadow' ? 'warn' : ''}` }, rule.mode)),
      cell([h('b', {}, count(rule.hits)), h('div', { class: 'quiet nowrap' }, ago(rule.last_hit_ms)), rule.failures ? h('span', { class: 'tag warn' }, `${count(rule.failures)} failed`) : null], 'end')));
    put(main, head('Policies', `Version ${chosen.version}, ${chosen.active ? 'active' : 'not active'}, loaded ${moment(chosen.loaded_at_ms)}, ${short(chosen.hash)}`),
      policies.length > 1 ? h('div', { class: 'chips versions' }, policies.map((one) => h('a', { class: 'chip', href: `#/policies/${encodeURIComponent(one.version)}`, 'aria-current': one === chosen ? 'true' : null }, one.version, one.active ? h('span', { class: 'tag good' }, 'active') : null))) : null,
      h('div', { class: 'stack' },
        card('Rules', 'hits since the document was loaded', table(['Rule', 'When', 'Outcome', 'Mode', '>Hits'], rows, 'This document has no rules.')),
        card('Document', 'as loaded', h('pre', { class: 'tall', tabindex: '0' }, document.text))));
  });
}

export function sessionsPage(main) {
  let sessions = [];
  let next = null;

  async function revoke(kind, value, title) {
    const answer = await ask({ title, text: 'It ends at once, on every request that follows. The call is put on record.', yes: 'Revoke', danger: true, note: true });
    if (!answer) return;
    try {
      const { body } = await post('sessions/revoke', { kind, value, note: answer.note || null });
      say(`Revoked; ${body.sessions_ended} sessions ended`, true);
      await show();
    } catch (problem) {
      await ask({ title: 'Not revoked', text: problem.message });
    }
  }

  async function byName() {
    const answer = await ask({ title: 'Revoke a token, session or subject', text: 'Tokens and sessions that carry it are refused from the next request on.', yes: 'Revoke', danger: true, note: true,
      fields: [{ name: 'kind', label: 'What', options: [['jti', 'Token id (jti)'], ['sid', 'Session of the issuer (sid)'], ['subject', 'Subject (sub)']] }, { name: 'value', label: 'Value', required: true }] });
    if (!answer) return;
    try {
      await post('sessions/revoke', { kind: answer.kind, value: answer.value, note: answer.note || null });
      await show();
    } catch (problem) {
      await ask({ title: 'Not revoked', text: problem.message });
    }
  }

  async function show(after) {
    const [page, list] = await Promise.all([get(`sessions?limit=100${after ? `&after=${encodeURIComponent(after)}` : ''}`), get('sessions/revoke')]);
    sessions = after ? [...sessions, ...page.body.sessions] : page.body.sessions;
    next = page.body.next ?? null;
    const rows = sessions.map((one) => h('tr', {},
      cell(h('code', {}, short(one.handle, 12))), cell(h('code', {}, short(one.subject, 12))), cell(one.app), cell(one.acr ?? '–'),
      cell(ago(one.created_at_ms), 'nowrap'), cell(ago(one.last_seen_ms), 'nowrap'),
      cell(may('operator') ? h('button', { class: 'button small danger', type: 'button', 'aria-label': `Revoke session ${short(one.handle, 12)}`, on: { click: () => revoke('session', one.handle, `Revoke session ${short(one.handle, 12)}?`) } }, 'Revoke') : null, 'end')));
    const revoked = list.body.revocations.map((one) => h('tr', {},
      cell(one.kind), cell(h('code', {}, short(one.value, 12))), cell(one.by), cell(ago(one.at_ms), 'nowrap'), cell(moment(one.expires_at_ms), 'nowrap'), cell(count(one.sessions_ended), 'end'), cell(one.note ?? '')));
    put(main, h('div', { class: 'page-head' }, h('h1', {}, 'Sessions'), h('p', {}, 'Customers signed in through the gateway; names are keyed hashes.'),
      may('operator') ? h('button', { class: 'button small', type: 'button', on: { click: byName } }, 'Revoke by name') : null),
    h('div', { class: 'stack' },
      card(null, null, table(['Session', 'Customer', 'Application', 'Level', 'Began', 'Last used', '>'], rows, 'Nobody is signed in.', 'middle'),
        next ? h('div', { class: 'list-tools' }, h('button', { class: 'button', type: 'button', on: { click: () => show(next) } }, 'More sessions')) : null),
      card('Revocations in force', null, table(['Kind', 'Value', 'By', 'When', 'Kept until', '>Sessions ended', 'Note'], revoked, 'None.'))));
  }
  load(main, 'Sessions', show);
}

export function auditPage(main) {
  load(main, 'Audit', async () => {
    const [checkpoint, limits, config] = await Promise.all([get('audit/checkpoint'), get('limits'), get('config')]);
    const found = h('div', { class: 'body' }, h('p', { class: 'quiet' }, 'Walks the whole log and checks that every entry is linked to the one before it.'));
    const button = h('button', { class: 'button', type: 'button', on: { click: verify } }, 'Verify the log');
    async function verify() {
      button.disabled = true;
      try {
        const { body } = await get('audit/verify');
        put(found, h('p', {}, h('span', { class: `tag ${body.intact ? 'good' : 'warn'}` }, body.intact ? 'Intact' : 'Broken'), ' ', body.finding), h('p', { class: 'quiet' }, `${count(body.checked)} entries in ${count(body.took_ms)} ms; head ${short(body.head, 16)}`));
        say(body.finding, true);
      } catch (problem) {
        put(found, h('p', {}, problem.message));
      }
      button.disabled = false;
    }
    const { size, head: top, at_ms: at } = checkpoint.body;
    const rows = limits.body.limits.map((one) => h('tr', {}, cell(h('b', {}, one.name)), cell(one.scope), cell(`${value(one.per_second)}/s, burst ${count(one.burst)}`), cell(`${count(one.keys)} of ${count(one.keys_max)}`, 'end'), cell(count(one.exceeded_total), 'end')));
    put(main, head('Audit', 'The decision log, the limits and the configuration in force.'), h('div', { class: 'stack' },
      h('div', { class: 'grid' },
        h('div', { class: 'w6' }, card('Checkpoint', moment(at), h('div', { class: 'body' }, h('div', { class: 'pool-head' }, h('span', { class: 'figure' }, count(size)), h('span', { class: 'quiet' }, 'entries')), h('p', { class: 'mono quiet' }, top)))),
        h('div', { class: 'w6' }, card('Verification', null, found, h('div', { class: 'body' }, button)))),
      card('Limits', null, table(['Limit', 'Per', 'Allows', '>Keys held', '>Stopped'], rows, 'No limits are configured.')),
      card('Configuration', 'without its secrets', h('pre', { class: 'tall', tabindex: '0' }, JSON.stringify(config.body, null, 2)))));
  });
}
