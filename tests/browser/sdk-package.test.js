// The SDK as a package: types that hold, a size that is kept, files that arrive.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { buildSync } from 'esbuild';

const here = fileURLToPath(new URL('.', import.meta.url));
const sdk = fileURLToPath(new URL('../../web/sdk/', import.meta.url));
const tsc = join(here, 'node_modules/typescript/bin/tsc');
const files = [...readdirSync(sdk), ...readdirSync(join(sdk, 'audio')).map((name) => `audio/${name}`)].filter((name) => name.endsWith('.js'));

/**
 * What a bundler makes of these for a browser, zipped, and the page loads: bytes. The worker and the worklet are files
 * of their own; what is loaded only where there is no worker is what the worker has.
 */
function bundled(...names) {
  const entry = names.map((name) => `export * from ${JSON.stringify(join(sdk, name))};`).join('\n');
  const { outputFiles } = buildSync({ stdin: { contents: entry, resolveDir: sdk }, bundle: true, splitting: true, outdir: '/', minify: true, format: 'esm', write: false, logLevel: 'error' });
  const loaded = outputFiles.filter((file) => !/wire-socket/.test(file.path));
  return loaded.reduce((sum, file) => sum + gzipSync(file.contents, { level: 9 }).length, 0);
}

test('the types hold, strictly', () => {
  const { stdout } = spawnSync(process.execPath, [tsc, '-p', here, '--pretty', 'false'], { cwd: here, encoding: 'utf8' });
  assert.deepEqual(stdout.split('\n').filter((line) => /: error TS/.test(line)), []);
});

test('under 30 KB, bundled and zipped: whichever of its modules a page begins with, and all of them together', (t) => {
  const threads = bundled('wire-worker.js') + bundled('audio/worklet.js');
  // The last is all that a page could want of a telephone in one bundle; preflight.js is a page's of its own, before it.
  const whole = ['index.js', 'element.js', 'crm.js', 'bridge.js', 'webphone.js'];
  for (const names of [['index.js'], ['element.js'], ['bridge.js'], ['webphone.js'], ['preflight.js'], whole]) {
    const size = bundled(...names) + threads;
    t.diagnostic(`${names.join(', ')} with worker and worklet: ${(size / 1024).toFixed(1)} KB`);
    assert.ok(size < 30 * 1024, `${names}: ${size}`);
  }
});

test('it stands alone: nothing is imported from elsewhere', () => {
  for (const name of files) {
    const text = readFileSync(join(sdk, name), 'utf8');
    for (const [, from] of text.matchAll(/(?:from|import\() ?'([^']+)'/g)) if (!text.includes(`import ${JSON.stringify(from)}`)) assert.match(from, /^\.\.?\//, `${name} imports ${from}`);
    assert.doesNotMatch(text, /\beval\(|new Function\(|localStorage/, name);
  }
});

test('npm pack makes a package that a strict TypeScript program builds on', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sdk-pack-'));
  try {
    const [packed] = JSON.parse(execFileSync('npm', ['pack', '--json', '--pack-destination', folder], { cwd: sdk, stdio: ['ignore', 'pipe', 'pipe'] }));
    const names = packed.files.map((f) => f.path);
    for (const name of ['index.js', 'element.js', 'wire-worker.js', 'audio/worklet.js', 'types/index.d.ts', 'types/audio/engine.d.ts', 'README.md']) assert.ok(names.includes(name), name);
    assert.deepEqual(readdirSync(sdk).filter((name) => name === 'types' || name === 'README.md'), [], 'nothing is left behind');
    const home = join(folder, 'node_modules/@goastgateway/phone');
    mkdirSync(home, { recursive: true });
    execFileSync('tar', ['-xzf', join(folder, packed.filename), '-C', home, '--strip-components=1']);
    writeFileSync(join(folder, 'program.ts'), `
      import { Call, Device, PhoneError } from '@goastgateway/phone';
      import { clickToDial, screenPop } from '@goastgateway/phone/crm.js';
      const device = new Device(async () => 'token', { url: 'wss://pbx.lan:8766/phone', singleTab: true });
      device.on('incoming', (call: Call) => { const number: string | null = call.from.number; call.on('disconnect', (over, reason) => console.log(over.id, reason.length, number)); });
      device.on('error', (error: PhoneError, call?: Call) => console.log(error.code, error.solutions.join(), call?.id));
      // @ts-expect-error there is no such event
      device.on('nonsense', () => {});
      // @ts-expect-error nor such a presence
      device.setPresence('asleep');
      export const ends = [clickToDial(device), screenPop(device, 'https://crm.example/{from}')];
      export const call: Promise<Call> = device.connect({ to: '200' });
    `);
    const options = ['--strict', '--noEmit', '--target', 'es2022', '--module', 'esnext', '--moduleResolution', 'bundler', '--lib', 'es2022,dom'];
    try {
      execFileSync(process.execPath, [tsc, ...options, 'program.ts'], { cwd: folder, stdio: 'pipe' });
    } catch (error) {
      assert.fail(String(error.stdout));
    }
    assert.equal(execFileSync(process.execPath, ['-e', "import('@goastgateway/phone').then((m) => console.log(m.Device.version))"], { cwd: folder }).toString().trim(), JSON.parse(readFileSync(join(sdk, 'package.json'))).version);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
