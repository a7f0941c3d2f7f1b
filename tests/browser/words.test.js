// Every text of the page is there in English and in Japanese, with the same values in it.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

globalThis.sessionStorage = { getItem: () => 'en', setItem() {} };
const { setLanguage, t, WORDS } = await import('../../web/i18n.js');
const web = new URL('../../web/', import.meta.url);

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
    ...['unreachable', 'closed', 'limited', 'upgrade', 'server', 'forbidden'].map((r) => `lost.${r}`),
    ...['busy', 'kicked', 'token', 'expired'].map((r) => `stopped.${r}`),
    ...['caller', 'hangup', 'declined', 'missed', 'late', 'lost'].map((r) => `ended.${r}`),
    ...['offline', 'connecting', 'ready', 'ringing', 'in-call', 'reconnecting', 'busy', 'replaced', 'refused'],
    ...['denied', 'none', 'in-use', 'insecure', 'failed', 'prompt'].map((r) => `mic.${r}`),
  ];
  for (const language of ['en', 'ja']) {
    setLanguage(language);
    for (const key of keys) assert.notEqual(t(key), key, `${language} ${key}`);
  }
});

test('every text that the page names exists', () => {
  const sources = ['app.js', 'index.html', ...readdirSync(new URL('ui/', web)).map((f) => `ui/${f}`)];
  for (const source of sources) {
    const code = readFileSync(new URL(source, web), 'utf8');
    for (const [, key] of code.matchAll(/(?:\bt\('|data-i18n=")([\w.-]+)['"]/g)) assert.ok(key in WORDS.en, `${source}: ${key}`);
  }
});
