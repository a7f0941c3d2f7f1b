// One table: how a call sounds on bad networks. Real Asterisk with recorded speech, the real gateway,
// the real page in headless Chromium, `emulator.py` between the last two. See script/badnet.

import { execFileSync } from 'node:child_process';
import { appendFileSync, chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { launch, statsOf, waitForState, waitForStats } from '../browser/page.mjs';
import { writeWav } from '../browser/signal.mjs';
import { build } from '../e2e/house.mjs';
import { cut, delays, heardTrack, longestSilence, median, RATE, spokenTrack } from './ears.mjs';
import { record } from './record.mjs';
import { badNetwork, listenedWay, wall } from './way.mjs';

const here = dirname(fileURLToPath(import.meta.url));

/** What Asterisk's side hears begins this long after the first frame, as in the figures of others. */
const EAR_MS = 60;
/** PESQ is made for sentences: pieces of this length, and the mean of their scores. */
const SENTENCE_MS = 8000;
/** The call's last part, in which delay "at the end" is measured. */
const END_MS = 6000;
/** When the network goes dark, counted from the recording's begin, and for how long. */
const DARK_AT_S = 9;
const DARK_S = 3;

/**
 * Frames that came down before anything is judged: 8 s. Answering a call makes a page busy and opens a microphone,
 * and what delay that left is taken out in the seconds after it, which is not what a row is about.
 */
const SETTLED_FRAMES = 400;
/** A blackout is told from the speech around it only where nobody pauses: what is quieter than this is left out. */
const PAUSE = 0.02;
const PAUSE_SAMPLES = RATE / 50;

/** With --table: so many calls a row, and so much of each is recorded; all rows in ten minutes. */
const TABLE_CALLS = 2;
const TABLE_S = 18;
/** A blackout must be over, and be followed by what is measured. */
const LEAST_DARK_S = 22;

/** @type {Record<string, {settings: string[], dark?: boolean}>} */
export const CONDITIONS = {
  'clean, no delay': { settings: ['delay=0'] },
  '60 ms round trip': { settings: ['delay=30'] },
  '1 % loss': { settings: ['delay=30', 'loss=1'] },
  '2 % loss': { settings: ['delay=30', 'loss=2'] },
  '5 % loss': { settings: ['delay=30', 'loss=5'] },
  'jitter ±30 ms': { settings: ['delay=30', 'jitter=30'] },
  'one blackout of 3 s': { settings: ['delay=30'], dark: true },
};

const option = (name, otherwise) => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? otherwise : process.argv[at + 1];
};

async function freePort() {
  const server = createServer();
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

/** Speech of two voices' parts: one for each side, 16 kHz, by Asterisk's own decoder. */
async function speech(house, prompts, withoutPauses = false) {
  const parts = { down: ['demo-congrats', 'demo-echotest', 'demo-moreinfo'], up: ['basic-pbx-ivr-main', 'demo-abouttotry', 'priv-callee-options'] };
  const out = {};
  for (const [side, names] of Object.entries(parts)) {
    const pieces = [];
    for (const name of names) {
      const to = join(house.folder, `${name}.sln16`);
      const said = await house.cli(`file convert ${join(prompts, name)}.g722 ${to}`);
      if (!said.includes('Converted')) throw new Error(`Asterisk can't convert ${name}: ${said}`);
      pieces.push(readFileSync(to));
    }
    const bytes = Buffer.concat(pieces);
    const whole = new Int16Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + (bytes.length & ~1)));
    out[side] = withoutPauses ? unbroken(whole) : whole;
  }
  return out;
}

/** The same speech without its pauses. @param {Int16Array} samples */
function unbroken(samples) {
  const out = new Int16Array(samples.length);
  let length = 0;
  for (let at = 0; at + PAUSE_SAMPLES <= samples.length; at += PAUSE_SAMPLES) {
    const part = samples.subarray(at, at + PAUSE_SAMPLES);
    if (part.reduce((sum, x) => sum + x * x, 0) < PAUSE_SAMPLES * (32768 * PAUSE) ** 2) continue;
    out.set(part, length);
    length += part.length;
  }
  return out.slice(0, length);
}

async function oneCall({ settings, dark }, seconds, prompts, scores) {
  const network = await badNetwork(settings);
  let way;
  let house;
  let browser;
  try {
    const port = await freePort();
    const address = `${network.near}:${port}`;
    house = await build({
      config: { browser_addr: address, allowed_browser_ips: [network.far], allowed_origins: [`https://${address}`], log_level: 'INFO' },
      between: async (gatewayPort) => (way = await listenedWay(gatewayPort)).port,
    });
    const { down, up } = await speech(house, prompts, dark);
    const file = (name) => join(house.folder, name);
    writeFileSync(file('down.sln16'), Buffer.from(down.buffer));
    const wide = Float32Array.from({ length: up.length * 3 }, (_, i) => {
      const at = Math.floor(i / 3);
      const part = (i % 3) / 3;
      return (up[at] * (1 - part) + (up[at + 1] ?? 0) * part) / 32768;
    });
    writeWav(file('up.wav'), wide, 48000);
    appendFileSync(join(house.folder, 'rig', 'etc', 'extensions.conf'),
      `\n[apps](+)\nexten => badnet,1,Answer()\n same => n(again),Playback(${file('down')})\n same => n,Goto(again)\n`);
    await house.cli('dialplan reload');
    const browserCommand = file('browser');
    writeFileSync(browserCommand, `#!/bin/sh\nexec ${network.inside.join(' ')} ${process.env.CHROMIUM || '/usr/bin/chromium'} "$@"\n`);
    chmodSync(browserCommand, 0o755);
    browser = await launch({ wav: file('up.wav'), executable: browserCommand });
    const link = house.link('2001').replace(/127\.0\.0\.1:\d+/, address);
    const page = await browser.openPhone(link);
    await waitForState(page, 'ready');
    await house.call('2001', '--app', 'badnet');
    await waitForState(page, 'ringing');
    await page.keyboard.press('Enter');
    await waitForStats(page, (stats) => stats.framesDown > SETTLED_FRAMES);
    const call = way.calls.at(-1);
    let darkAt;
    if (dark) setTimeout(() => (network.set(`blackout=${DARK_S}`), (darkAt = wall())), DARK_AT_S * 1000);
    const { microphone, speaker } = await record(page, seconds);
    const stats = await statsOf(page);
    const until = wall();
    const mouth = spokenTrack(call.spoken.filter((p) => p.at < until));
    const ear = heardTrack(call.arrived.filter((p) => p.at < until), EAR_MS);
    const [from, to] = [speaker.from + 500, speaker.from + 1000 * seconds - 500];
    await page.keyboard.press('Escape'); // hangs up
    const result = { stats, log: await house.log.wait((line) => line.includes('call ended'), "the call's end") };
    for (const [name, said, heard] of [['down', mouth, speaker], ['up', microphone, ear]]) {
      const found = delays(said, heard, from, to);
      const late = found.filter((d) => d.at > to - from - END_MS).map((d) => d.ms);
      const side = { delay: median(late), typical: median(found.map((d) => d.ms)) };
      if (dark) {
        const [begin, end] = [darkAt, darkAt + 12000];
        side.silence = longestSilence({ samples: cut(heard, begin - 500, Math.min(end, to) - begin) });
        const before = median(found.filter((d) => d.at + from < begin - 500).map((d) => d.ms));
        side.before = before;
        // From when on is it at most 20 ms more than it was, and stays so?
        const bad = found.filter((d) => d.at + from > begin + 1000 * DARK_S && d.ms - before > 20).at(-1);
        side.backAfter = bad ? bad.at + from - begin - 1000 * DARK_S : 0;
      } else {
        side.pesq = await scores.of(said, heard, found, from, to, file(name));
      }
      result[name] = side;
    }
    return result;
  } finally {
    await browser?.close();
    await house?.tearDown();
    way?.close();
    await network.close();
  }
}

/** PESQ by `pesq-scores.py`, where the package is. */
class Scores {
  #python;
  constructor(python) {
    this.#python = python;
  }
  async of(said, heard, found, from, to, prefix) {
    if (!this.#python) return NaN;
    const lines = [];
    for (let at = from; at + SENTENCE_MS <= to; at += SENTENCE_MS / 2) {
      const there = found.filter((d) => d.at + from >= at && d.at + from < at + SENTENCE_MS - 500).map((d) => d.ms);
      if (there.length < 4) continue;
      const [a, b] = [`${prefix}-${at | 0}-said.wav`, `${prefix}-${at | 0}-heard.wav`];
      writeWav(a, cut(said, at, SENTENCE_MS), RATE);
      writeWav(b, cut(heard, at + median(there), SENTENCE_MS), RATE);
      lines.push(`${a} ${b}`);
    }
    const told = execFileSync(this.#python, [join(here, 'pesq-scores.py')], { input: lines.join('\n') }).toString().trim().split('\n');
    const numbers = told.map(Number).filter(Number.isFinite);
    return numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
  }
}

const wanted = option('only', '').split(',').filter(Boolean);
const asTable = process.argv.includes('--table');
const calls = Number(option('calls', asTable ? TABLE_CALLS : 1));
const seconds = Number(option('seconds', asTable ? TABLE_S : 26));
const prompts = option('prompts');
const scores = new Scores(option('python'));
const n = (x) => (Number.isFinite(x) ? x.toFixed(0) : '-');

/** "4.41 to 4.60", or one number where they agree. */
function range(numbers, digits) {
  const list = numbers.filter(Number.isFinite);
  if (list.length === 0) return '-';
  const [low, high] = [Math.min(...list).toFixed(digits), Math.max(...list).toFixed(digits)];
  return low === high ? low : `${low} to ${high}`;
}

function row(name, dark, results) {
  const of = (side, what, digits) => range(results.map((r) => r[side][what]), digits);
  if (!dark) return `| ${name} | ${of('down', 'pesq', 2)} / ${of('up', 'pesq', 2)} | ${of('down', 'delay', 0)} / ${of('up', 'delay', 0)} |`;
  const silence = (side) => range(results.map((r) => r[side].silence / 1000), 2);
  const back = (side) => `${of(side, 'delay', 0)} (${of(side, 'before', 0)} before, back after ${range(results.map((r) => r[side].backAfter / 1000), 1)} s)`;
  return `| ${name} | silence ${silence('down')} s / ${silence('up')} s | ${back('down')} / ${back('up')} |`;
}

const rows = ['| condition | PESQ down / up | delay down / up, ms |', '|---|---|---|'];
const chosen = Object.entries(CONDITIONS).filter(([name]) => wanted.length === 0 || wanted.some((w) => name.includes(w)));
const begun = performance.now();
for (const [at, [name, condition]] of chosen.entries()) {
  const results = [];
  for (let i = 0; i < calls; i++) {
    let result;
    try {
      result = await oneCall(condition, condition.dark ? Math.max(seconds, LEAST_DARK_S) : seconds, prompts, scores);
    } catch (error) {
      // One call that could not be had is no reason to lose the rest.
      console.log(`${name} | failed: ${error.message}`);
      process.exitCode = 1;
      continue;
    }
    const { down, up, stats, log } = result;
    results.push(result);
    const words = condition.dark
      ? [down, up].map((s) => `silence ${(s.silence / 1000).toFixed(2)} s, then ${n(s.delay)} ms (before ${n(s.before)}, back after ${(s.backAfter / 1000).toFixed(1)} s)`)
      : [down, up].map((s) => `PESQ ${s.pesq?.toFixed(2)} delay ${n(s.delay)} (median ${n(s.typical)})`);
    console.log(`${name} | down ${words[0]} | up ${words[1]}`);
    const [done, all, took] = [at * calls + i + 1, chosen.length * calls, (performance.now() - begun) / 1000];
    if (asTable) console.error(`  call ${done} of ${all}, ${n(took)} s so far, about ${n((took / done) * (all - done))} s to go`);
    if (process.env.BADNET_VERBOSE) console.log(`  ${JSON.stringify(stats)}\n  ${log}`);
  }
  if (results.length > 0) rows.push(row(name, condition.dark, results));
}
if (asTable) console.log(`\n${rows.join('\n')}`);
