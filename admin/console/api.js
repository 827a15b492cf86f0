// Calls to the admin API with the console's session.

let csrf = null;
let onEnded = () => {};

export class Problem extends Error {
  constructor(status, body) {
    super(body.detail ? `${body.title}: ${body.detail}` : body.title ?? `Answered ${status}`);
    this.status = status;
    this.reason = body.reason ?? '';
  }
}

export function configure(options) {
  if ('csrf' in options) csrf = options.csrf;
  if (options.onEnded) onEnded = options.onEnded;
}

async function call(path, options) {
  const response = await fetch(path, { credentials: 'same-origin', redirect: 'error', ...options });
  if (response.ok) return response;
  const problem = new Problem(response.status, await response.json().catch(() => ({})));
  if (response.status === 401) onEnded(problem);
  throw problem;
}

export async function get(path, { signal } = {}) {
  const response = await call(`/api/v1/${path}`, { signal });
  return { body: await response.json(), etag: response.headers.get('etag') };
}

export async function post(path, body, etag) {
  const headers = { 'content-type': 'application/json', 'gatehouse-csrf': csrf ?? '' };
  if (etag) headers['if-match'] = etag;
  const response = await call(`/api/v1/${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
  return { body: await response.json(), etag: response.headers.get('etag') };
}

export const logout = () => call('/logout', { method: 'POST', headers: { 'gatehouse-csrf': csrf ?? '' } });

export const query = (params) => {
  const pairs = Object.entries(params).filter(([, value]) => value !== null && value !== undefined && value !== '');
  return pairs.length ? `?${new URLSearchParams(pairs)}` : '';
};
