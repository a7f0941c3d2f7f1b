// With Asterisk's manager: the dialplan learns why a call was not answered.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { launch, waitForState } from '../browser/page.mjs';
import { build } from './house.mjs';

let house;
let browser;

before(async () => {
  house = await build({
    ami: true,
    config: { ring_timeout: 1, exten_search_pattern: 'ws-ext-(\\d+|G\\d+)' },
    groups: { G02: { strategy: 'ringall', members: ['2001', '2002'], timeout: 1 } },
  });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await house?.tearDown();
});

afterEach(async () => {
  for (const page of browser.browser.pages()) await page.close();
});

async function phone(ext) {
  const page = await browser.openPhone(house.link(ext));
  await waitForState(page, 'ready');
  return page;
}

async function ends(dialled, as, ...options) {
  const call = await house.call(dialled, ...options);
  const { dialstatus, hangupcause } = await house.ended(call);
  assert.deepEqual({ dialstatus, hangupcause }, as, dialled);
}

for (const way of ['json', 'text']) {
  test(`DIALSTATUS tells the truth about each ending (${way})`, async () => {
    // Nobody there.
    await ends('2001', { dialstatus: 'CHANUNAVAIL', hangupcause: '20' }, '--way', way);
    const page = await phone('2001');
    // Nobody answers.
    await ends('2001', { dialstatus: 'NOANSWER', hangupcause: '19' }, '--way', way);
    await waitForState(page, 'ready');
    await ends('G02', { dialstatus: 'NOANSWER', hangupcause: '19' }, '--way', way);
    await waitForState(page, 'ready');
    // Declined.
    const declined = house.call('2001', '--way', way, '--wait');
    await waitForState(page, 'ringing');
    await page.keyboard.press('Escape');
    assert.match(await declined, /dialstatus=BUSY hangupcause=17/);
    // In a call.
    const first = await house.call('2001', '--way', way, '--app', 'silence');
    await waitForState(page, 'ringing');
    await page.keyboard.press('Enter');
    await waitForState(page, 'in-call');
    await ends('2001', { dialstatus: 'BUSY', hangupcause: '17' }, '--way', way);
    await page.keyboard.press('Escape');
    assert.equal((await house.ended(first)).dialstatus, 'ANSWER');
  });
}

test('what is refused is refused with a cause', async () => {
  await ends('noext', { dialstatus: 'CHANUNAVAIL', hangupcause: '21' });
  await ends('ulaw', { dialstatus: 'CHANUNAVAIL', hangupcause: '21' });
});

test('the manager shows in the metrics, and its secret nowhere', async () => {
  assert.match(await house.metrics(), /goastgateway_ami_up 1/);
  assert.doesNotMatch(house.log.text, /[0-9a-f]{32}/);
});
