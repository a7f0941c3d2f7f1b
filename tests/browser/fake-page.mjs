// The page with the fake telephone, straight from web/ under the gateway's policy, without a server.

import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { policy } from './policy.mjs';

const WEB = fileURLToPath(new URL('../../web/', import.meta.url));
const FAKE = fileURLToPath(new URL('fake-telephone.js', import.meta.url));
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8', '.svg': 'image/svg+xml' };
const ORIGIN = 'https://phone.test';
/** Anything that has the form of a token. */
export const TOKEN = 'aaa.bbb.ccc';
const WAIT_MS = 10000;

export async function launchBrowser() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium', headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking'],
  });
}

/**
 * @param {import('playwright-core').Browser} browser
 * @param {import('playwright-core').BrowserContextOptions} [look] locale, colorScheme, viewport …
 */
export async function openContext(browser, look = {}) {
  const context = await browser.newContext({ locale: 'en-US', viewport: { width: 480, height: 760 }, ...look });
  context.setDefaultTimeout(WAIT_MS);
  const csp = policy();
  await context.route(`${ORIGIN}/**`, async (route) => {
    const { pathname } = new URL(route.request().url());
    const name = pathname === '/' ? 'index.html' : pathname;
    const path = pathname === '/ui/telephone.js' ? FAKE : normalize(join(WEB, name));
    const body = await readFile(path).catch(() => null);
    if (!body) return route.fulfill({ status: 404 });
    return route.fulfill({ body, headers: { 'content-type': TYPES[extname(path)] ?? 'application/octet-stream', 'content-security-policy': csp } });
  });
  return context;
}

/** @param {import('playwright-core').BrowserContext} context */
export async function openPage(context, { loggedIn = true } = {}) {
  const page = await context.newPage();
  page.faults = [];
  page.on('pageerror', (error) => page.faults.push(String(error)));
  page.on('console', (line) => line.type() === 'error' && page.faults.push(line.text()));
  await page.goto(`${ORIGIN}/${loggedIn ? `#token=${TOKEN}` : ''}`);
  await page.waitForSelector('h1');
  return page;
}

/** What the page has asked of the telephone since the last time, by name. */
export async function asked(page, ...names) {
  const all = await page.evaluate(() => window.fake.asked.splice(0));
  return names.length === 0 ? all : all.filter(([name]) => names.includes(name));
}
