// Every text of the page is there in English and in Japanese, with the same values in it, and is used.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { duration, say, setLanguage, t, WORDS } from '../../web/i18n.js';

const web = new URL('../../web/', import.meta.url);
const sources = ['app.js', ...['ui/', 'ui/views/'].flatMap((folder) => readdirSync(new URL(folder, web)).filter((f) => f.endsWith('.js')).map((f) => folder + f))]
  .map((name) => ({ name, code: readFileSync(new URL(name, web), 'utf8') }));

test('both languages have the same texts, none empty, with the same values', () => {
  assert.deepEqual(Object.keys(WORDS.ja), Object.keys(WORDS.en));
  const values = (text) => [...text.matchAll(/\{\w+\}/g)].map(String).sort();
  for (const [key, text] of Object.entries(WORDS.en)) {
    assert.ok(text.trim() && WORDS.ja[key].trim(), key);
    assert.deepEqual(values(WORDS.ja[key]), values(text), key);
  }
});

test('every reason that the SDK gives has its text', () => {
  const keys = [
    ...['closed', 'unreachable', 'server', 'limited', 'forbidden', 'upgrade', 'no_token', 'fault', 'network', 'restart'].map((r) => `lost.${r}`),
    ...['token', 'expired', 'in_use', 'replaced', 'fault'].map((r) => `stopped.${r}`),
    ...['denied', 'none', 'in-use', 'insecure', 'failed', 'prompt'].map((r) => `mic.${r}`),
    ...['answered', 'missed', 'declined', 'elsewhere', 'unanswered', 'failed'].map((h) => `ended.${h}`),
    ...['network', 'computer', 'server', 'far'].flatMap((c) => [`culprit.${c}`, `quality.fair.${c}`, `quality.poor.${c}`]),
  ];
  for (const key of keys) assert.ok(key in WORDS.en, key);
});

test('every text that the page names exists', () => {
  for (const { name, code } of sources) {
    for (const [, key] of code.matchAll(/(?:\bt\(|text: \[|\[)'([a-z]\w*\.[\w.-]+)'/g)) assert.ok(key in WORDS.en, `${name}: ${key}`);
  }
});

test('no text is left over', () => {
  const all = sources.map(({ code }) => code).join('\n');
  for (const key of Object.keys(WORDS.en)) {
    // By its name, or made up: `a.${b}`, `a.${b}.${c}`, `a.b.${c}`.
    const parts = key.split('.');
    const stems = parts.slice(0, -1).map((_, i) => `\`${parts.slice(0, i + 1).join('.')}.\${`);
    assert.ok(all.includes(`'${key}'`) || stems.some((stem) => all.includes(stem)), key);
  }
});

test('values in a text may be times, durations, and texts', () => {
  setLanguage('ja');
  assert.equal(t('state.ready'), '待受中');
  setLanguage('en');
  assert.equal(say(['ended.missed', { who: { text: ['call.unknown'] }, clock: '10:00' }]), 'Missed call from Unknown caller at 10:00');
  assert.equal(t('ended.answered', { time: { duration: 65000 } }), 'Call ended · 01:05');
  assert.deepEqual([duration(0), duration(3661000), duration(-5)], ['00:00', '1:01:01', '00:00']);
  assert.equal(t('no.such'), 'no.such');
});
