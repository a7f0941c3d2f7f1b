// The check before the first call: its report, and a run of it in Chromium.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { reportOf } from '../../web/sdk/preflight.js';
import { MockGateway, makeToken } from './mock-gateway.mjs';
import { launch } from './page.mjs';

let gateway;
let browser;

before(async () => {
  gateway = await MockGateway.start();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await gateway?.stop();
});

const FACTS = {
  start: 1000, opened: 1050, ready: 1100, end: 11100, host: 'pbx.lan:8766', welcome: { extension: '2001', features: { hold: true, dial: true, dtmf: true, transfer: true } },
  samples: [{ timestamp: 1200, rtt: 20, jitter: 0, mos: 4.35 }, { timestamp: 1700, rtt: 40, jitter: 1.25, mos: 4.33 }],
  pings: 2, bytesSent: 320000, bytesWaiting: 0, microphone: { state: 'granted', label: 'Headset' }, output: { state: 'running', sampleRate: 48000 },
};

test('a good way has a good report and no warnings', () => {
  const report = reportOf(FACTS);
  assert.deepEqual([report.callQuality, report.edge, report.identity, report.warnings], ['excellent', 'pbx.lan:8766', '2001', []]);
  assert.deepEqual(report.stats.rtt, { average: 30, max: 40, min: 20 });
  assert.deepEqual([report.networkTiming.signaling.duration, report.testTiming.duration], [100, 10100]);
});

test('what stands between a person and a good call is named', () => {
  const warned = (change) => reportOf({ ...FACTS, ...change }).warnings.map(({ name }) => name);
  assert.deepEqual(warned({ pings: 3 }), ['low-bytes-sent'], 'a question without an answer');
  assert.deepEqual(warned({ bytesWaiting: 64000 }), ['low-bytes-sent']);
  assert.deepEqual(warned({ microphone: { state: 'denied', label: null } }), ['no-microphone']);
  assert.deepEqual(warned({ microphone: { state: 'not-asked', label: null } }), []);
  assert.deepEqual(warned({ output: { state: 'blocked', sampleRate: 48000 } }), ['audio-blocked']);
  const bad = [{ timestamp: 1, rtt: 900, jitter: 60, mos: 2.5 }];
  assert.deepEqual(warned({ samples: bad, pings: 1 }), ['high-rtt', 'high-jitter', 'low-mos']);
  assert.equal(reportOf({ ...FACTS, samples: bad }).callQuality, 'degraded');
  const none = reportOf({ ...FACTS, samples: [] });
  assert.deepEqual([none.callQuality, none.stats], [null, null]);
});

test('it logs in, measures, finds the microphone, and leaves', async () => {
  gateway.pages['/test.html'] = '<!doctype html><title>x</title><link rel=icon href=/favicon.svg><script type=module src=/test.js></script>';
  gateway.pages['/test.js'] = `import { runPreflight } from '/sdk/preflight.js';
    window.check = (token) => new Promise((done) => {
      const preflight = runPreflight(token, { seconds: 2 });
      preflight.on('completed', (report) => done({ report, status: preflight.status }));
      preflight.on('failed', ({ code }) => done({ code, status: preflight.status }));
    });
    window.goastgateway = {};`;
  const page = await browser.openPhone(`${gateway.url}test.html`);
  const { report, status } = await page.evaluate((token) => window.check(token), makeToken('2001'));
  assert.deepEqual([status, report.identity, report.microphone.state, report.output.state], ['completed', '2001', 'granted', 'running']);
  assert.ok(report.samples.length >= 2 && report.totals.bytesSent > 20000, JSON.stringify(report));
  const phone = await gateway.v1.phones.get('2001');
  assert.equal(phone.said.at(-1).type, 'logout');
  assert.deepEqual(await page.evaluate(() => window.check('not.a.token')), { code: 20101, status: 'failed' });
  assert.deepEqual(gateway.v1.faults, [], 'every message is as docs/phone-protocol.schema.json says');
  await page.close();
});
