// Samples, the opinion score, warnings, requests and errors of the SDK.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mock, test } from 'node:test';
import { ERRORS, PhoneError } from '../../web/sdk/errors.js';
import { opinionScore, Warnings } from '../../web/sdk/quality.js';
import { Requests } from '../../web/sdk/requests.js';

const sample = (i, some = {}) => ({
  at: i * 1000, rttMs: 20, playoutMs: 40, jitterMs: 5, e2eMs: 90, uplinkQueueMs: 0, downlinkQueueMs: 0, asteriskQueueMs: 40,
  underruns: 0, concealedMs: 0, concealedShare: 0, droppedMs: 0, droppedUp: 0, driftPpm: 10, bytesIn: i * 32000, bytesOut: i * 32000,
  inLevel: 0.1 + 0.01 * (i % 7), outLevel: 0.2 + 0.01 * (i % 5), mos: 4.3, lateMs: 2, ...some,
});

test('the score is good on a good line, falls with delay and with what was made up', () => {
  assert.ok(opinionScore(60, 0) > 4.3);
  assert.ok(opinionScore(400, 0) < 3.7 && opinionScore(400, 0) > 2.5);
  assert.ok(opinionScore(60, 0.1) < 3.5);
  for (let delay = 0; delay < 3000; delay += 50) {
    for (let share = 0; share <= 1; share += 0.1) {
      const mos = opinionScore(delay, share);
      assert.ok(mos >= 1 && mos <= 4.5);
      assert.ok(mos >= opinionScore(delay + 50, share) - 1e-9 && mos >= opinionScore(delay, share + 0.1) - 1e-9);
    }
  }
});

test('a warning comes at the third of five samples, stays five seconds, and goes when all five are good', () => {
  const w = new Warnings();
  const bad = { rttMs: 600 };
  const log = [];
  [0, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0].forEach((is, i) => {
    const { raised, cleared } = w.take(sample(i, is ? bad : {}), { muted: false });
    for (const [name, data] of raised) log.push(`${i} ${name} ${data.value}>${data.threshold}`);
    for (const name of cleared) log.push(`${i} -${name}`);
  });
  assert.deepEqual(log, ['4 high-rtt 600>400', '9 -high-rtt']);
});

test('one bad second in five raises nothing', () => {
  const w = new Warnings();
  for (let i = 0; i < 60; i++) assert.deepEqual(w.take(sample(i, i % 5 === 0 ? { jitterMs: 90, e2eMs: 900 } : {}), { muted: false }).raised, []);
});

test('a dead microphone is told after ten seconds, a muted one never', () => {
  const w = new Warnings();
  const names = [];
  for (let i = 0; i < 15; i++) names.push(...w.take(sample(i, { inLevel: 0 }), { muted: false }).raised.map(([n]) => `${i} ${n}`));
  assert.deepEqual(names, ['10 constant-audio-input-level']);
  const muted = new Warnings();
  for (let i = 0; i < 15; i++) assert.deepEqual(muted.take(sample(i, { inLevel: 0 }), { muted: true }).raised, []);
});

test('nothing that flows is a warning, unless the call is held', () => {
  const stuck = (i) => sample(i, { bytesIn: 32000, outLevel: 0.2 + 0.01 * i });
  const w = new Warnings();
  const held = new Warnings();
  const names = [];
  for (let i = 0; i < 6; i++) {
    names.push(...w.take(stuck(i), { muted: false }).raised.map(([n]) => n));
    assert.deepEqual(held.take(stuck(i), { muted: false, silent: true }).raised, []);
  }
  assert.deepEqual(names, ['low-bytes-received']);
});

test('requests: one id each, answered once, asked again only where the gateway knows the id', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  const sent = [];
  const r = new Requests((m) => sent.push(m));
  await assert.rejects(r.ask({ type: 'dial' }, { timeoutMs: 1000, wait: false }), { code: 31005 });
  const queued = r.ask({ type: 'hangup' }, { timeoutMs: 1000 });
  assert.equal(sent.length, 0);
  r.up(false);
  assert.equal(sent.length, 1, 'what waited is asked');
  r.answer({ type: 'ok', id: sent[0].id, extra: 1 });
  assert.equal((await queued).extra, 1);
  assert.equal(r.answer({ type: 'ok', id: sent[0].id }), false, 'an answer that comes twice is none');

  const repeated = r.ask({ type: 'hold' }, { timeoutMs: 1000 });
  r.down();
  r.up(true);
  assert.equal(sent[1].id, sent[2].id);
  r.answer({ type: 'error', id: sent[2].id, code: 31105, message: 'not answered yet' });
  await assert.rejects(repeated, { code: 31105, name: 'InvalidState', message: 'not answered yet' });

  const dial = r.ask({ type: 'dial' }, { timeoutMs: 1000 });
  r.down();
  r.up(false);
  await assert.rejects(dial, { code: 31003 }, 'a new login does not know the id: it would be dialled twice');

  const late = r.ask({ type: 'hold' }, { timeoutMs: 1000 });
  mock.timers.tick(1000);
  await assert.rejects(late, { code: 31003 });
  const left = r.ask({ type: 'hold' }, { timeoutMs: 1000 });
  r.failAll(new PhoneError(31005));
  await assert.rejects(left, { code: 31005 });
  assert.equal(new Set(sent.map((m) => m.id)).size, 5);
  mock.timers.reset();
});

test('two pages never use the same ids', () => {
  const ids = [new Requests((m) => ids.push(m.id)), new Requests((m) => ids.push(m.id))].map((r) => (r.up(false), r));
  for (const r of ids.slice(0, 2)) r.ask({ type: 'hold' }, { timeoutMs: 5 }).catch(() => {});
  const seen = ids.slice(2);
  assert.equal(new Set(seen).size, 2);
});

test('every code of the protocol is explained', () => {
  const text = readFileSync(new URL('../../docs/phone-protocol.md', import.meta.url), 'utf8');
  const codes = [...text.matchAll(/^\| (\d{5}) \| `/gm)].map((m) => Number(m[1]));
  assert.ok(codes.length >= 15);
  for (const code of codes) assert.ok(ERRORS[code], String(code));
  const error = new PhoneError(31401, 'no');
  assert.deepEqual([error.name, error.message, error.docs], ['PermissionDenied', 'no', 'docs/sdk.md#e31401']);
  assert.ok(error.explanation && error.description === error.explanation && error.causes.length && error.solutions.length);
  assert.equal(new PhoneError(1).name, 'UnknownError');
});
