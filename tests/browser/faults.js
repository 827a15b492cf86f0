// What is wrong with a page for somebody who cannot see it well, uses no mouse, or holds a telephone: a list of sentences.
const faults = [];
const shown = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && element.getClientRects().length > 0;
const name = (element) => element.outerHTML.replace(/\s+/g, ' ').slice(0, 90);

if (!document.documentElement.lang) faults.push('the language is not set');
if (!document.title.trim()) faults.push('there is no title');
const heads = [...document.querySelectorAll('h1')].filter(shown);
if (heads.length !== 1) faults.push(`there are ${heads.length} h1`);
const wide = document.documentElement.scrollWidth;
if (wide > innerWidth) faults.push(`the page is ${wide} wide in a window of ${innerWidth}`);
for (const input of document.querySelectorAll('input:not([type=hidden]), select, textarea')) {
  if (!shown(input)) continue;
  const labelled = [...input.labels].some((label) => label.textContent.trim()) || input.ariaLabel || input.getAttribute('aria-labelledby');
  if (!labelled) faults.push(`no label: ${name(input)}`);
}
for (const control of document.querySelectorAll('a[href], button')) {
  if (shown(control) && !(control.textContent.trim() || control.ariaLabel || control.title)) faults.push(`no name: ${name(control)}`);
}
for (const image of document.querySelectorAll('img:not([alt])')) faults.push(`no alternative text: ${name(image)}`);

// WCAG 2.2, 1.4.3. Colours are painted and read back, so that every notation that the browser knows is understood.
const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
canvas.canvas.width = canvas.canvas.height = 1;
function colour(text) {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = text;
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
}
const over = (top, under) => [0, 1, 2].map((at) => top[at] * top[3] + under[at] * (1 - top[3])).concat(1);
function ground(element) {
  const layers = [];
  for (let at = element; at; at = at.parentElement) {
    const style = getComputedStyle(at);
    if (style.backgroundImage !== 'none') return null;
    layers.push(colour(style.backgroundColor));
    if (layers.at(-1)[3] === 1) break;
  }
  return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 1]);
}
function luminance(rgb) {
  const [r, g, b] = rgb.slice(0, 3).map((one) => one / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
const seen = new Set();
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || seen.has(element)) continue;
  seen.add(element);
  if (element.closest('svg, script, style, noscript, [disabled], option') || !shown(element)) continue;
  const style = getComputedStyle(element);
  const under = style.clipPath === 'none' ? ground(element) : null;
  if (!under) continue;
  const ink = over(colour(style.color), under);
  const [light, dark] = [luminance(ink), luminance(under)].sort((a, b) => b - a);
  const ratio = (light + 0.05) / (dark + 0.05);
  const size = parseFloat(style.fontSize);
  const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  if (ratio < (large ? 3 : 4.5)) faults.push(`contrast ${ratio.toFixed(2)} of ${style.color} on ${under.map(Math.round).slice(0, 3)}: ${name(element)}`);
}
return faults.slice(0, 12);
