// Every state that the page can be in, as one list: for the pictures and for the accessibility check.

/** @typedef {{name: string, loggedIn?: boolean, put?: (page: import('playwright-core').Page) => Promise<any>}} State */

const ev = (fn, arg) => (page) => page.evaluate(fn, arg);
const click = (selector) => (page) => page.click(selector);
const key = (name) => (page) => page.keyboard.press(name);
const all = (...steps) => async (page) => {
  for (const step of steps) await step(page);
};

const put = (change) => ev((c) => window.fake.put(c), change);
const call = (change = {}) => ev((c) => {
  const { sinceAgo = 0, answeredAgo, ...rest } = c;
  const made = window.makeCall(rest);
  made.since = Date.now() - sinceAgo;
  if (made.state === 'open') made.answered = Date.now() - (answeredAgo ?? 83000);
  window.fake.put({ calls: [...window.fake.state.calls, made] });
}, change);
const talk = (change) => call({ state: 'open', ...change });
const samples = (change, count = 60, id = 'c1') => ev(([c, n, i]) => window.fake.sample(i, c, n), [change ?? {}, count, id]);
const past = ev(async () => {
  const { fake } = window;
  const one = (id, change, reason, talkMs, ago) => {
    fake.put({ calls: [window.makeCall({ id, ...change, since: Date.now() - ago })] });
    fake.end(id, reason, talkMs);
  };
  one('h1', { direction: 'outgoing', from: { number: '0612345678', name: null } }, 'phone_hung_up', 245000, 7200000);
  one('h2', { state: 'ringing', from: { number: '09011112222', name: '山田 太郎' } }, 'caller_gave_up', 0, 5400000);
  one('h3', { from: { number: '0312345678', name: 'Alice Example' }, group: 'support' }, 'caller_hung_up', 62000, 3700000);
  one('h4', { direction: 'outgoing', state: 'alerting', from: { number: '2003', name: 'Carol' } }, 'busy', 0, 1800000);
  one('h5', { state: 'ringing', from: { number: null, name: null }, group: 'support' }, 'answered_elsewhere', 0, 900000);
  await new Promise((done) => setTimeout(done));
  document.getElementById('dismiss')?.click();
});

/** @type {State[]} */
export const STATES = [
  { name: '01-login', loggedIn: false },
  { name: '02-login-error', loggedIn: false, put: all((p) => p.fill('#token', 'nonsense'), key('Enter')) },
  { name: '03-connecting', put: put({ link: 'connecting' }) },
  { name: '04-ready', put: past },
  { name: '05-typing', put: all(past, ...'0312345678'.split('').map((k) => key(k))) },
  { name: '06-away', put: put({ presence: { state: 'away', until: null } }) },
  { name: '07-dnd', put: put({ presence: { state: 'dnd', until: null } }) },
  { name: '08-wrapup', put: ev(() => window.fake.put({ presence: { state: 'wrapup', until: Date.now() + 27400 } })) },
  { name: '09-unreachable', put: put({ reachable: false }) },
  { name: '10-no-manager', put: put({ features: { hold: true, dial: false, dtmf: false, transfer: false } }) },
  { name: '11-incoming', put: call({ state: 'ringing', group: 'support', sinceAgo: 4000 }) },
  { name: '12-incoming-unknown', put: call({ state: 'ringing', from: { number: null, name: null } }) },
  { name: '13-dialling', put: call({ direction: 'outgoing', state: 'dialling', from: { number: '0312345678', name: null } }) },
  { name: '14-alerting', put: call({ direction: 'outgoing', state: 'alerting', from: { number: '0312345678', name: null }, sinceAgo: 3000 }) },
  { name: '15-in-call', put: all(talk(), samples()) },
  { name: '16-muted', put: all(talk({ muted: true }), samples()) },
  { name: '17-held', put: talk({ held: true }) },
  { name: '18-held-by-far', put: all(talk({ heldByFar: true }), samples()) },
  { name: '19-keypad', put: all(talk(), samples(), key('4'), key('2'), key('#')) },
  { name: '20-transfer', put: all(talk(), samples(), key('t'), (p) => p.fill('#target', '2003')) },
  { name: '21-transfer-bad', put: all(talk(), key('t'), (p) => p.fill('#target', '!!'), key('Enter')) },
  { name: '22-add', put: all(talk(), key('n')) },
  { name: '23-quality-good', put: all(talk(), samples(), key('q')) },
  { name: '24-quality-network', put: all(talk(), samples({}, 40), samples({ rttMs: 320, delayMs: 380, jitterMs: 90 }, 3), samples({ rttMs: 620, delayMs: 680, jitterMs: 90, concealedMs: 160 }, 4), samples({ rttMs: 480, delayMs: 540, jitterMs: 90, concealedMs: 120 }, 5), key('q')) },
  { name: '25-quality-server', put: all(talk(), samples({}, 40), samples({ serverQueueMs: 420, delayMs: 560 }, 12), key('q')) },
  { name: '26-quality-far', put: all(talk(), samples({ framesDown: 0 }, 12)) },
  { name: '27-waiting', put: all(talk(), samples(), call({ id: 'c2', state: 'ringing', from: { number: '09011112222', name: '山田 太郎' }, group: 'sales' })) },
  { name: '28-two-calls', put: all(talk({ id: 'c2', held: true, from: { number: '09011112222', name: '山田 太郎' } }), talk(), samples()) },
  { name: '29-consulting', put: all(talk({ held: true }), talk({ id: 'c2', direction: 'outgoing', from: { number: '2003', name: 'Carol' }, consultsFor: 'c1', answeredAgo: 9000 }), samples({}, 20, 'c2')) },
  { name: '30-consult-ringing', put: all(talk({ held: true }), call({ id: 'c2', direction: 'outgoing', state: 'alerting', from: { number: '2003', name: null }, consultsFor: 'c1' })) },
  { name: '31-reconnecting', put: ev(() => window.fake.put({ link: 'reconnecting', why: 'server', retryAt: Date.now() + 4000 })) },
  { name: '32-reconnecting-in-call', put: all(talk(), ev(() => window.fake.put({ link: 'reconnecting', why: 'closed', trying: true, lostAt: Date.now() - 4000 }))) },
  { name: '33-restarting', put: ev(() => window.fake.put({ link: 'reconnecting', why: 'restart', retryAt: Date.now() + 1500 })) },
  { name: '34-in-use', put: put({ link: 'stopped', why: 'in_use' }) },
  { name: '34-in-use-at', put: put({ link: 'stopped', why: 'in_use', devices: [{ name: 'Firefox, Windows', isThis: false }] }) },
  { name: '35-replaced', put: put({ link: 'stopped', why: 'replaced' }) },
  { name: '36-refused', put: put({ link: 'stopped', why: 'token' }) },
  { name: '37-expired', put: put({ link: 'stopped', why: 'expired' }) },
  { name: '38-mic-prompt', put: ev(() => window.fake.audio({ permission: 'prompt' })) },
  { name: '39-mic-denied', put: all(ev(() => window.fake.audio({ permission: 'denied', sound: 'blocked' })), ev(() => window.fake.put({ expiresAt: Date.now() + 200000 }))) },
  { name: '40-missed', put: all(call({ state: 'ringing' }), ev(() => window.fake.end('c1', 'caller_gave_up'))) },
  { name: '41-ended', put: all(talk(), ev(() => window.fake.end('c1', 'caller_hung_up', 83000))) },
  { name: '41-passed-on', put: ev(() => window.fake.emit('passed', { call: window.makeCall({}), to: '2003', done: true, reason: 'failed' })) },
  { name: '41-not-taken', put: ev(() => window.fake.emit('passed', { call: window.makeCall({}), to: '2003', done: false, reason: 'busy' })) },
  { name: '42-fault', put: all(ev(() => (window.fake.refuse = { code: 31403 })), (p) => p.fill('#number', '0990123456'), key('Enter')) },
  { name: '43-history', put: all(past, (p) => p.evaluate(() => document.getElementById('tab-history')?.click())) },
  { name: '44-settings', put: click('#settings') },
  { name: '45-settings-below', put: all(click('#settings'), ev(() => document.getElementById('set-shortcuts').scrollIntoView())) },
  { name: '45-settings-devices', put: all(ev(() => window.fake.put({ devices: [{ name: 'Mobile', since: new Date(Date.now() - 7200000), isThis: false }, { name: 'Chrome, Linux', since: new Date(), isThis: true }] })), click('#settings'), ev(() => document.querySelector('.where').scrollIntoView())) },
  { name: '46-help', put: key('?') },
];
