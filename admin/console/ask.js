// Asks before something is done.
import { byId, h, put } from './dom.js';

/**
 * Shows a dialog and answers what was entered, or null. Without `yes` it only tells.
 * `note`: with a note for the record. `fields`: [{ name, label, options | required }].
 */
export function ask({ title, text, yes, danger, note, fields = [] }) {
  const dialog = byId('ask');
  const inputs = new Map();
  const field = (label, input) => h('label', { class: 'field' }, h('span', {}, label), input);
  const made = fields.map((one) => {
    const input = one.options
      ? h('select', {}, one.options.map(([value, name]) => h('option', { value }, name)))
      : h('input', { type: 'text', maxlength: '256', autocomplete: 'off', spellcheck: 'false' });
    inputs.set(one.name, { input, required: one.required });
    return field(one.label, input);
  });
  if (note) {
    const input = h('textarea', { rows: '2', maxlength: '500' });
    inputs.set('note', { input });
    made.push(field('Note for the record (optional)', input));
  }
  return new Promise((resolve) => {
    let answer = null;
    const accept = () => {
      for (const { input, required } of inputs.values()) if (required && !input.value.trim()) { input.focus(); return; }
      answer = Object.fromEntries([...inputs].map(([name, { input }]) => [name, input.value.trim()]));
      dialog.close();
    };
    const back = h('button', { class: 'button', type: 'button', on: { click: () => dialog.close() } }, yes ? 'Cancel' : 'Close');
    const go = yes ? h('button', { class: `button ${danger ? 'danger' : 'primary'}`, type: 'button', on: { click: accept } }, yes) : null;
    put(dialog, h('h2', { id: 'ask-title' }, title), typeof text === 'string' ? h('p', {}, text) : text, h('div', { class: 'stack' }, made), h('div', { class: 'actions' }, back, go));
    dialog.onclose = () => resolve(answer);
    dialog.showModal();
    (inputs.values().next().value?.input ?? go ?? back).focus();
  });
}
