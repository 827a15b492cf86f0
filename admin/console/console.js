// Starts the console: who is signed in, which page is open, what is live.
import { configure, get, logout } from './api.js';
import { ask } from './ask.js';
import { casesPage } from './cases.js';
import { closeDecision, openDecision } from './decision.js';
import { byId, h, put, s, say } from './dom.js';
import { decisionsPage } from './feed.js';
import { live, start, watch } from './live.js';
import { overview } from './overview.js';
import { auditPage, capacityPage, modelsPage, policiesPage, sessionsPage } from './pages.js';
import { moveAmongRows } from './rows.js';
import { known } from './who.js';

const PAGES = {
  overview: ['Overview', overview],
  decisions: ['Decisions', decisionsPage],
  cases: ['Cases', casesPage],
  capacity: ['Capacity', capacityPage],
  models: ['Models', modelsPage],
  policies: ['Policies', policiesPage],
  sessions: ['Sessions', sessionsPage],
  audit: ['Audit', auditPage],
};

const main = byId('main');
let leave = null;
let openPage = null;
let signedIn = false;

/** `#/page/argument` and, over any page, `#/page[/argument]/decision/id`. */
function address() {
  const parts = location.hash.replace(/^#\/?/, '').split('/').filter(Boolean).map(decode);
  const page = Object.hasOwn(PAGES, parts[0] ?? '') ? parts[0] : 'overview';
  const at = parts.indexOf('decision', 1);
  const rest = at > 0 ? parts.slice(1, at) : parts.slice(1);
  return { page, argument: rest[0] ?? null, decision: at > 0 ? parts[at + 1] ?? null : null };
}

function decode(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

function drawNav() {
  const { page } = address();
  const open = live.figures?.cases_open ?? 0;
  put(byId('nav'), h('ul', {}, Object.entries(PAGES).map(([key, [name]]) => h('li', {}, h('a', { href: `#/${key}`, 'aria-current': key === page ? 'page' : null },
    name, key === 'cases' && open > 0 ? h('span', { class: 'count', 'aria-label': `${open} open` }, String(open)) : null)))));
}

function show() {
  if (!signedIn) return;
  const { page, argument, decision } = address();
  const key = `${page}/${argument ?? ''}`;
  if (key !== openPage) {
    leave?.();
    openPage = key;
    document.title = `${PAGES[page][0]} · Gatehouse`;
    leave = PAGES[page][1](main, argument) ?? null;
    drawNav();
    window.scrollTo(0, 0);
    if (document.activeElement && document.activeElement !== document.body) main.focus({ preventScroll: true });
  }
  if (decision) openDecision(decision, () => { location.hash = argument ? `#/${page}/${encodeURIComponent(argument)}` : `#/${page}`; });
  else { closeDecision(); document.title = `${PAGES[page][0]} · Gatehouse`; }
}

function drawState() {
  const element = byId('live');
  const text = { on: 'Live', off: 'Disconnected', wait: 'Connecting' }[live.state];
  element.dataset.state = live.state;
  if (element.lastElementChild.textContent !== text) element.lastElementChild.textContent = text;
}

function drawAlert(extra) {
  const alert = byId('alert');
  const told = extra ?? live.figures?.degraded ?? [];
  const text = told.join(' ');
  if (alert.dataset.text === text) return;
  alert.dataset.text = text;
  alert.hidden = told.length === 0;
  put(alert, text, extra ? h('a', { class: 'button small', href: signInPlace() }, 'Sign in again') : null);
}

const signInPlace = () => `/login?return_to=${encodeURIComponent(`/${location.hash.startsWith('#/') ? location.hash : ''}`)}`;

function welcome() {
  signedIn = false;
  for (const id of ['live', 'who', 'nav']) byId(id).hidden = true;
  put(main, h('section', { class: 'welcome' },
    s('svg', { viewBox: '0 0 24 24', 'aria-hidden': 'true' }, s('path', { d: 'M4 21V9.5L12 4l8 5.5V21h-4.6v-6.2a3.4 3.4 0 0 0-6.8 0V21Z' })),
    h('h1', {}, 'Gatehouse'), h('p', {}, 'Sign in with your staff account to see what the gateway decides, and why.'),
    h('a', { class: 'button primary', href: signInPlace() }, 'Sign in')));
}

function drawWho(me) {
  const out = async () => {
    try { await logout(); } finally { location.replace('/'); }
  };
  put(byId('who'), h('div', {}, h('b', {}, me.subject), h('span', {}, me.roles.join(', '))),
    h('button', { class: 'icon-button', type: 'button', 'aria-label': `Sign out ${me.subject}`, title: 'Sign out', on: { click: out } },
      s('svg', { viewBox: '0 0 18 18', fill: 'none', stroke: 'currentColor', 'stroke-width': '1.6', 'stroke-linecap': 'round', 'stroke-linejoin': 'round', 'aria-hidden': 'true' },
        s('path', { d: 'M7 3H4v12h3M11 5.5 14.5 9 11 12.5M14 9H7' }))));
}

const THEMES = ['auto', 'light', 'dark'];
const THEME_SHAPES = {
  auto: 'M9 2.5a6.5 6.5 0 1 0 0 13V2.5Z M9 2.5a6.5 6.5 0 0 1 0 13',
  light: 'M9 5.8a3.2 3.2 0 1 0 0 6.4 3.2 3.2 0 0 0 0-6.4ZM9 1.5v1.5M9 15v1.5M1.5 9H3M15 9h1.5M3.7 3.7l1 1M13.3 13.3l1 1M3.7 14.3l1-1M13.3 4.7l1-1',
  dark: 'M14.5 10.8A6 6 0 0 1 7.2 3.5a6 6 0 1 0 7.3 7.3Z',
};

function theme(next) {
  const stored = next ?? localStorage.getItem('theme');
  const now = THEMES.includes(stored) ? stored : 'auto';
  if (next) localStorage.setItem('theme', now);
  if (now === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = now;
  const button = byId('theme');
  button.setAttribute('aria-label', `Colours: ${now}`);
  button.title = `Colours: ${now}`;
  button.onclick = () => theme(THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]);
  put(button, s('svg', { viewBox: '0 0 18 18', fill: 'none', stroke: 'currentColor', 'stroke-width': '1.5', 'stroke-linecap': 'round', 'stroke-linejoin': 'round', 'aria-hidden': 'true' }, s('path', { d: THEME_SHAPES[now] })));
}

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
  if (event.key === 'Escape' && !byId('panel').hidden) { byId('panel').querySelector('[aria-label="Close"]').click(); return; }
  if (event.target.closest('input, textarea, select')) return;
  const page = Object.keys(PAGES)[Number(event.key) - 1];
  if (page) location.hash = `#/${page}`;
  else if (event.key === '?') help();
  else if (event.key === '/') { const search = document.querySelector('main .search'); if (search) { event.preventDefault(); search.focus(); } } else if (moveAmongRows(event)) event.preventDefault();
}

function help() {
  const rows = [['1 – 8', 'Sections'], ['j  k', 'Next and previous decision'], ['Enter', 'Open it'], ['Esc', 'Close it'], ['/', 'Filter'], ['← →', 'Read a chart that has the focus']];
  ask({ title: 'Keys', text: h('dl', { class: 'pairs' }, rows.map(([key, text]) => [h('dt', {}, h('kbd', {}, key)), h('dd', {}, text)])) });
}

async function boot() {
  theme();
  window.addEventListener('hashchange', show);
  document.addEventListener('keydown', keys);
  document.querySelector('.skip').addEventListener('click', (event) => { event.preventDefault(); main.focus(); });
  let me;
  try {
    me = (await get('me')).body;
  } catch (problem) {
    if (problem.status === 401) welcome();
    else put(main, h('section', { class: 'welcome' }, h('h1', {}, 'The gateway does not answer'), h('p', {}, problem.message), h('a', { class: 'button', href: '/' }, 'Try again')));
    return;
  }
  signedIn = true;
  known(me.roles);
  const ended = () => { drawAlert(['Your session is over.']); say('Your session is over', true); };
  configure({ csrf: me.csrf, onEnded: ended });
  drawWho(me);
  drawNav();
  let open = 0;
  watch((kind) => {
    if (kind === 'state') drawState();
    if (kind !== 'figures') return;
    drawAlert();
    if (live.figures.cases_open !== open) { open = live.figures.cases_open; drawNav(); }
  });
  await start(ended).catch((problem) => put(main, h('p', { class: 'quiet center' }, problem.message)));
  show();
}

boot();
