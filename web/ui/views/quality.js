// The sign of a call's quality, and what lies behind it: who is to blame, and the last minute of delay.

import { t } from '../../i18n.js';
import { h } from '../dom.js';
import { plot } from '../plot.js';
import { KEPT } from '../quality.js';

const BARS = { unknown: 0, poor: 1, fair: 2, good: 3 };
const BOX = { width: 240, height: 56, slots: KEPT };

/** Three bars, a word, and the culprit's name; a click shows more. Shape and word say it, not the colour alone. */
export function sign({ quality, ui }, act) {
  const { level, culprit, delayMs } = quality;
  return h('button.sign', { key: 'sign', id: 'quality-sign', type: 'button', 'data-level': level, 'data-culprit': culprit, 'aria-expanded': String(ui.panel === 'quality'), onclick: () => act('quality') },
    bars(level),
    h('span.verdict', null, [t(`quality.${level}`), culprit ? t(`culprit.${culprit}`) : null].filter(Boolean).join(' · ')),
    delayMs !== null && level !== 'unknown' ? h('span.delay', null, t('quality.ms', { ms: delayMs })) : null);
}

export function bars(level) {
  const lit = BARS[level];
  return h('svg.bars', { viewBox: '0 0 16 16', 'aria-hidden': 'true' }, [0, 1, 2].map((i) => h('rect', { key: `b${i}`, x: 1 + i * 5, y: 10 - i * 4, width: 4, height: 5 + i * 4, rx: 1, class: i < lit ? 'lit' : 'dim' })));
}

export function details({ quality, samples, meters }) {
  const { level, culprit, delayMs } = quality;
  const { line, topMs } = plot(samples.map((s) => s.delayMs), BOX);
  const last = samples.at(-1);
  const figure = (name, value) => h('div', { key: name }, h('dt', null, t(name)), h('dd', null, value));
  const ms = (value) => (value === null || value === undefined ? '–' : t('quality.ms', { ms: Math.round(value) }));
  return [
    h('h3', { key: 'title' }, t('quality.title')),
    h('p', { key: 'says' }, t(`quality.${level}.${culprit ?? 'none'}`)),
    h('figure.plot', { key: 'plot' },
      h('svg', { viewBox: `0 0 ${BOX.width} ${BOX.height}`, role: 'img', 'aria-label': t('quality.plot', { ms: delayMs ?? '–' }), preserveAspectRatio: 'none' },
        h('line', { key: 'half', class: 'grid', x1: 0, x2: BOX.width, y1: BOX.height / 2, y2: BOX.height / 2 }),
        h('path', { key: 'line', d: line, 'data-level': level })),
      h('span.top', { key: 'top', 'aria-hidden': 'true' }, t('quality.scale', { ms: topMs }))),
    h('dl.figures', { key: 'figures' },
      figure('quality.delay', ms(last?.delayMs)), figure('quality.network', ms(last?.rttMs)),
      figure('quality.server', ms(last?.serverQueueMs)), figure('quality.repaired', t('quality.percent', { percent: Math.round((last?.concealedMs ?? 0) / 10) }))),
    meters ? h('div.levels', { key: 'levels' }, level_('level.mic', 'mic-level'), level_('level.speaker', 'speaker-level')) : null,
  ];
}

function level_(word, id) {
  return h('div.level', { key: id }, h('span', null, t(word)), h('span.track', { 'aria-hidden': 'true' }, h('span.fill', { id })));
}
