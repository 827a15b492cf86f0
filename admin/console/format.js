// How figures are written.

const FRACTION = new Map([['JPY', 0], ['KRW', 0], ['ISK', 0], ['CLP', 0], ['VND', 0], ['BHD', 3], ['KWD', 3], ['OMR', 3], ['JOD', 3], ['TND', 3]]);
const plain = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

export const count = (n) => plain.format(n ?? 0);

export function rate(n) {
  if (!Number.isFinite(n)) return '–';
  if (n >= 10_000) return `${(n / 1000).toFixed(1)}k`;
  return n >= 100 ? plain.format(n) : n.toFixed(1);
}

export const percent = (share, digits = 1) => (Number.isFinite(share) ? `${(share * 100).toFixed(digits)} %` : '–');

/** Microseconds as [number, unit]. */
export function micros(us) {
  if (us === null || us === undefined) return ['–', ''];
  if (us < 1_000) return [String(Math.round(us)), 'µs'];
  if (us < 1_000_000) return [(us / 1000).toFixed(us < 100_000 ? 1 : 0), 'ms'];
  return [(us / 1_000_000).toFixed(1), 's'];
}

export const microsText = (us) => micros(us).join(' ').trim();

export function money(minor, currency) {
  if (minor === null || minor === undefined) return '';
  const digits = FRACTION.get(currency) ?? 2;
  const value = minor / 10 ** digits;
  return `${value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })} ${currency ?? ''}`.trim();
}

const two = (n) => String(n).padStart(2, '0');

export function clock(ms) {
  const d = new Date(ms);
  return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

export function moment(ms) {
  if (ms === null || ms === undefined) return '–';
  const d = new Date(ms);
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${clock(ms)}`;
}

export function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 172_800) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86_400)} d`;
}

export const ago = (ms) => (ms === null || ms === undefined ? 'never' : `${span(Date.now() - ms)} ago`);

export const short = (hash, length = 10) => (hash ? String(hash).slice(0, length) : '–');

export function value(n) {
  if (!Number.isFinite(n)) return '–';
  if (Number.isInteger(n)) return plain.format(n);
  if (Math.abs(n) < 0.01) return n.toPrecision(1);
  return Math.abs(n) >= 100 ? n.toFixed(0) : n.toFixed(Math.abs(n) >= 10 ? 1 : 2);
}

/** A text as a sentence begins. */
export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

export const words = (name) => String(name).replaceAll('_', ' ');
