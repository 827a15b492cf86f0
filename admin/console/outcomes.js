// Outcomes: a word, a shape and a colour each, so that none is told by colour alone.
import { h, s } from './dom.js';

export const OUTCOMES = ['allow', 'observe', 'throttle', 'step_up', 'hold', 'deny'];

const WORDS = { allow: 'Allow', observe: 'Observe', throttle: 'Throttle', step_up: 'Step-up', hold: 'Hold', deny: 'Deny', shed: 'Shed' };

const SHAPES = {
  allow: ['M3.5 8.5l3 3 6-7'],
  observe: ['M1.5 8S4 3.8 8 3.8 14.5 8 14.5 8 12 12.2 8 12.2 1.5 8 1.5 8Z', 'M8 9.6a1.6 1.6 0 1 0 0-3.2 1.6 1.6 0 0 0 0 3.2Z'],
  throttle: ['M8 14a6 6 0 1 0 0-12 6 6 0 0 0 0 12Z', 'M8 4.8V8l2.2 1.6'],
  step_up: ['M4 8.5 8 4.5l4 4', 'M8 4.5v8', 'M3.5 14h9'],
  hold: ['M5.5 3.5v9', 'M10.5 3.5v9'],
  deny: ['M4 4l8 8', 'M12 4l-8 8'],
  shed: ['M4 7.5l4 4 4-4', 'M8 3v8.5'],
};

const known = (outcome) => (Object.hasOwn(WORDS, outcome) ? outcome : 'shed');

export const word = (outcome) => WORDS[known(outcome)];

export const tone = (outcome) => `is-${known(outcome)}`;

export const shape = (outcome) =>
  s('svg', { viewBox: '0 0 16 16', 'aria-hidden': 'true' }, SHAPES[known(outcome)].map((d) => s('path', { d })));

export const mark = (outcome) => h('span', { class: `mark ${tone(outcome)}` }, shape(outcome));

export const badge = (outcome) => h('span', { class: `outcome ${tone(outcome)}` }, shape(outcome), word(outcome));
