// Pictures of every state of the page: node screenshots.mjs FOLDER

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { MockGateway } from './mock-gateway.mjs';
import { launch, waitForState, waitForStats } from './page.mjs';

const folder = process.argv[2];
if (!folder) {
  console.error('usage: node screenshots.mjs FOLDER');
  process.exit(2);
}
mkdirSync(folder, { recursive: true });

const LOOKS = [
  { name: 'light-en', locale: 'en-US', colorScheme: 'light', viewport: { width: 480, height: 720 } },
  { name: 'dark-ja', locale: 'ja-JP', colorScheme: 'dark', viewport: { width: 480, height: 720 } },
  { name: 'narrow-en', locale: 'en-US', colorScheme: 'light', viewport: { width: 320, height: 568 } },
];

for (const { name, ...look } of LOOKS) {
  const gateway = await MockGateway.start();
  const phones = await launch({ rawMic: false, context: look });
  let page = await phones.openPhone(gateway.url);
  const shot = async (state, of = page) => {
    // What moves once has come to rest; what moves for ever (ringing) is taken as it is.
    await of.evaluate(() => Promise.all(document.getAnimations().filter((a) => a instanceof CSSTransition).map((a) => a.finished.catch(() => {}))));
    await of.screenshot({ path: join(folder, `${name}-${state}.png`) });
  };
  await shot('1-login');
  await page.fill('#token', 'nonsense');
  await page.keyboard.press('Enter');
  await shot('1-login-error');
  await page.close();

  page = await phones.openPhone(gateway.link('2001'));
  await waitForState(page, 'connecting');
  await shot('2-connecting');
  await waitForState(page, 'ready');
  await shot('3-ready');
  const phone = await gateway.phone('2001');
  phone.send('RINGING');
  await waitForState(page, 'ringing');
  await shot('4-ringing');
  phone.send('HANGUP');
  await waitForState(page, 'ready');
  await shot('4-missed');
  phone.send('RINGING');
  await waitForState(page, 'ringing');
  await page.keyboard.press('Enter');
  await phone.said('ANSWER');
  phone.tone(440, 0.3);
  await waitForStats(page, (s) => s.framesDown > 120 && s.micLevel > 0.01);
  await shot('5-in-call');
  await page.keyboard.press('m');
  await page.waitForFunction(() => document.getElementById('mic-level').getBoundingClientRect().width < 1);
  await shot('5-muted');
  phone.quiet();
  phone.send('HANGUP');
  await waitForState(page, 'ready');
  await shot('6-ended');

  const busy = await phones.openPhone(gateway.link('2001'));
  await waitForState(busy, 'busy');
  await shot('7-busy', busy);
  await busy.close();
  gateway.replace = true;
  const other = await phones.openPhone(gateway.link('2001'));
  await waitForState(page, 'replaced');
  await shot('8-replaced');
  await page.close();
  page = other;
  await waitForState(page, 'ready');
  gateway.refuseWith = 503;
  (await gateway.phone('2001')).cut();
  await page.waitForFunction(() => window.goastgateway.phone.snapshot().reason === 'server' && !window.goastgateway.phone.snapshot().trying);
  await shot('9-reconnecting');
  gateway.refuseWith = 401;
  await waitForState(page, 'refused');
  await shot('9-refused');
  gateway.refuseWith = 0;
  await page.close();
  await phones.close();

  const deaf = await launch({ mic: false, args: ['--deny-permission-prompts'], context: look });
  page = await deaf.openPhone(gateway.link('2001', { ttl: 200 }));
  await waitForState(page, 'ready');
  await page.evaluate(() => window.goastgateway.engine.openMic());
  await shot('10-microphone-denied');
  await deaf.close();
  await gateway.stop();
}
