// A gateway of a few lines for the page's own tests: serves web/ under the real policy, speaks the
// plain-text dialect, and does on command what networks and callers do.

import { execFileSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import { tmpdir } from 'node:os';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WebSocketServer } from 'ws';
import { V1, V1Door } from './mock-v1.mjs';

const WEB = fileURLToPath(new URL('../../web/', import.meta.url));
export const SECRET = 'a secret that only this test knows, long enough';
const CSP = "default-src 'self'; connect-src 'self'; style-src 'self'; script-src 'self'; worker-src 'self'; img-src 'self' data:; frame-ancestors 'self'";
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8', '.svg': 'image/svg+xml' };

export function makeToken(ext, { ttl = 3600, secret = SECRET } = {}) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const now = Math.floor(Date.now() / 1000);
  const body = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ ext, iat: now, exp: now + ttl })}`;
  return `${body}.${createHmac('sha256', secret).update(body).digest('base64url')}`;
}

function readToken(token) {
  const [head, body, mark] = String(token).split('.');
  const right = createHmac('sha256', SECRET).update(`${head}.${body}`).digest('base64url');
  if (mark !== right) return null;
  const claims = JSON.parse(Buffer.from(body, 'base64url').toString());
  return claims.exp * 1000 > Date.now() ? claims : null;
}

function selfSigned() {
  const folder = mkdtempSync(join(tmpdir(), 'mock-gateway-'));
  const key = join(folder, 'key.pem');
  const cert = join(folder, 'cert.pem');
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
    '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', key, '-out', cert], { stdio: 'ignore' });
  const pair = { key: readFileSync(key), cert: readFileSync(cert) };
  rmSync(folder, { recursive: true });
  return pair;
}

const EXAMPLES = fileURLToPath(new URL('../../examples/', import.meta.url));

/**
 * One logged-in phone, seen from the gateway.
 * Events: `text(string)`, `audio(Buffer)`, `gone()`.
 */
class MockPhone extends EventEmitter {
  constructor(socket, ext) {
    super();
    this.socket = socket;
    this.ext = ext;
    this.texts = [];
    this.frames = [];
    this.frozen = false;
    this.held = [];
    this.timer = null;
    socket.on('message', (data, binary) => {
      if (binary) {
        this.frames.push({ at: performance.now(), data });
        this.emit('audio', data);
      } else {
        this.texts.push(String(data));
        this.emit('text', String(data));
      }
    });
    socket.on('close', () => {
      this.quiet();
      this.emit('gone');
    });
  }

  send(message) {
    if (this.frozen) this.held.push(message);
    else if (this.socket.readyState === 1) this.socket.send(message);
  }

  /** Waits for a text from the phone; one that has already come counts. */
  async said(text) {
    while (!this.texts.includes(text)) await once(this, 'text');
    this.texts.splice(this.texts.indexOf(text), 1);
  }

  /** Waits for so many frames from now on, and gives them. */
  async heard(count) {
    const from = this.frames.length;
    while (this.frames.length < from + count) await once(this, 'audio');
    return this.frames.slice(from, from + count);
  }

  /** Sends sound at 50 frames a second: `sample(i)` in -1 to 1, at 16 kHz. */
  play(sample) {
    this.quiet();
    const start = performance.now();
    let sent = 0;
    this.timer = setInterval(() => {
      while (sent * 20 <= performance.now() - start) {
        const frame = Buffer.alloc(640);
        for (let k = 0; k < 320; k++) frame.writeInt16LE(Math.round(32767 * sample(sent * 320 + k)), k * 2);
        this.send(frame);
        sent++;
      }
    }, 5);
  }

  tone(hz, amplitude = 0.4) {
    this.play((i) => amplitude * Math.sin((2 * Math.PI * hz * i) / 16000));
  }

  quiet() {
    clearInterval(this.timer);
  }

  freeze() {
    this.frozen = true;
  }

  /** Everything that was held back comes in one burst. @returns {number} messages */
  thaw() {
    this.frozen = false;
    const held = this.held.splice(0);
    for (const message of held) this.send(message);
    return held.length;
  }

  /** The network is cut: no close frame. */
  cut() {
    this.socket.terminate();
  }
}

/** Events: `phone(MockPhone)` after a login, `refused(ext)` after BUSY. */
export class MockGateway extends EventEmitter {
  constructor() {
    super();
    /** @type {Map<string, MockPhone>} */
    this.phones = new Map();
    this.logins = 0;
    /** Plain requests for `/phone`: pages that ask why a login failed. */
    this.asked = 0;
    this.replace = false;
    /** While set, every request for a phone is answered by this status. */
    this.refuseWith = 0;
    /** Pages of a test's own: path to text. */
    this.pages = {};
    /** Their headers. */
    this.pageHeaders = {};
    /** While set, the sound's worklet cannot be had. */
    this.refuseWorklet = false;
  }

  static async start({ port = 0 } = {}) {
    const gateway = new MockGateway();
    gateway.v1 = new V1Door(readToken);
    gateway.pair ??= selfSigned();
    await gateway.listen(port);
    return gateway;
  }

  async listen(port) {
    const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false, handleProtocols: (asked) => asked.has(V1) && V1 });
    this.server = createServer(this.pair, (request, response) => this.serve(request, response));
    this.server.on('upgrade', (request, socket, head) => {
      const v1 = String(request.headers['sec-websocket-protocol'] ?? '').split(/, */).includes(V1);
      const status = v1 ? this.refuseWith : this.check(request);
      if (status) return socket.end(`HTTP/1.1 ${status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
      sockets.handleUpgrade(request, socket, head, (ws) => (v1 ? this.v1.connect(ws) : this.login(ws, this.claims(request).ext)));
    });
    this.server.listen(port, '127.0.0.1');
    await once(this.server, 'listening');
    this.port = this.server.address().port;
    this.url = `https://127.0.0.1:${this.port}/`;
  }

  link(ext, options) {
    return `${this.url}#token=${makeToken(ext, options)}`;
  }

  claims(request) {
    return readToken(new URL(request.url, this.url).searchParams.get('token') ?? '');
  }

  check(request) {
    if (this.refuseWith) return this.refuseWith;
    return this.claims(request) ? 0 : 401;
  }

  async serve(request, response) {
    const { pathname } = new URL(request.url, this.url);
    if (pathname === '/phone') {
      this.asked++;
      return response.writeHead(this.check(request) || 426).end();
    }
    if (this.refuseWorklet && pathname.endsWith('/worklet.js')) return response.writeHead(502).end();
    if (pathname in this.pages) {
      return response.writeHead(200, { 'content-type': TYPES[extname(pathname)] ?? TYPES['.html'], ...this.pageHeaders }).end(this.pages[pathname]);
    }
    const [root, name] = pathname.startsWith('/examples/') ? [EXAMPLES, pathname.slice(10)] : [WEB, pathname];
    const path = normalize(join(root, name === '/' ? 'index.html' : name));
    try {
      if (!path.startsWith(root)) throw new Error('outside');
      const body = await readFile(path);
      // What a page may do is said by the page; the SDK's files say it of themselves.
      const open = pathname.startsWith('/sdk/') ? { 'access-control-allow-origin': '*', 'cross-origin-resource-policy': 'cross-origin' } : {};
      const policy = root === WEB ? { 'content-security-policy': CSP } : {};
      response.writeHead(200, { 'content-type': TYPES[extname(path)] ?? 'application/octet-stream', ...policy, ...open, 'x-content-type-options': 'nosniff', 'cache-control': 'no-cache' });
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  }

  login(ws, ext) {
    this.logins++;
    const old = this.phones.get(ext);
    if (old && !this.replace) {
      ws.send('BUSY');
      ws.close();
      this.emit('refused', ext);
      return;
    }
    if (old) {
      old.socket.send('KICKED');
      old.socket.close();
    }
    const phone = new MockPhone(ws, ext);
    this.phones.set(ext, phone);
    phone.on('gone', () => this.phones.get(ext) === phone && this.phones.delete(ext));
    this.emit('phone', phone);
  }

  /** The phone of an extension, once it is there. */
  async phone(ext) {
    while (!this.phones.has(ext)) await once(this, 'phone');
    return this.phones.get(ext);
  }

  async stop() {
    for (const phone of this.phones.values()) phone.cut();
    this.v1.stop();
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }
}
