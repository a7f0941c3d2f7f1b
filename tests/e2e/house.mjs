// A whole house for a test: the real gateway, a real Asterisk beside it, and a way between the
// page and the gateway that can freeze. Everything on loopback, on free ports, in one folder that
// goes away; whatever dies, all of it is stopped.

import { execFile, execFileSync, spawn } from 'node:child_process';
import { appendFileSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const script = join(root, 'script', 'asterisk');

/** GATEWAY names the binary; otherwise the newest that cargo has built. */
function binary() {
  if (process.env.GATEWAY) return process.env.GATEWAY;
  const target = process.env.CARGO_TARGET_DIR || join(root, 'target');
  const found = ['release', 'debug'].map((kind) => join(target, kind, 'goastgateway')).filter(existsSync);
  if (found.length === 0) throw new Error('build the gateway first: cargo build');
  return found.sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)[0];
}

async function freePorts(count) {
  const servers = await Promise.all(
    Array.from({ length: count }, () => new Promise((done) => {
      const server = createServer().listen(0, '127.0.0.1', () => done(server));
    })),
  );
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}

/** Output of a process, line by line, and a way to wait for one. */
class Lines {
  #lines = [];
  #waiting = [];
  constructor(stream) {
    let rest = '';
    stream.setEncoding('utf8');
    stream.on('data', (text) => {
      const parts = (rest + text).split('\n');
      rest = parts.pop();
      for (const line of parts) this.#add(line);
    });
  }
  #add(line) {
    this.#lines.push(line);
    this.#waiting = this.#waiting.filter(({ test, done }) => !(test(line) && (done(line), true)));
  }
  get text() {
    return this.#lines.join('\n');
  }
  /** Nothing is waited for any more. */
  forget() {
    this.#waiting.forEach(({ done }) => done());
    this.#waiting = [];
  }
  /** A line that is there, or that comes. */
  wait(test, what, timeout = 20000) {
    const there = this.#lines.find(test);
    if (there !== undefined) return Promise.resolve(there);
    return new Promise((done, fail) => {
      const timer = setTimeout(() => fail(new Error(`no line «${what}» in:\n${this.text}`)), timeout);
      this.#waiting.push({ test, done: (line) => (clearTimeout(timer), done(line)) });
    });
  }
}

/**
 * @param {{config?: object, groups?: object, ami?: boolean, ari?: boolean, between?: (gatewayPort: number) => Promise<number>}} [options]
 *   `between`: what stands between Asterisk and the gateway; gives its port
 *   `ami`: the gateway logs in to Asterisk's manager; `ari`: to its ARI
 */
export async function build({ config = {}, groups = {}, ami = false, ari = false, between } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'gateway-house-'));
  const [asteriskPort, browserPort, adminPort] = await freePorts(3);
  const file = (name) => join(folder, name);
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
    '-keyout', file('key.pem'), '-out', file('cert.pem'), '-days', '2', '-subj', '/CN=localhost',
    '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'], { stdio: 'pipe' });
  const rig = file('rig');
  const gatewayPort = between ? await between(asteriskPort) : asteriskPort;
  let pbx;
  const openPbx = async (...options) => {
    pbx = spawn(script, ['start', rig, '--gateway', `ws://127.0.0.1:${gatewayPort}`, '--until-eof', ...options], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const said = new Lines(pbx.stdout);
    await Promise.race([
      said.wait((line) => line === `ready ${rig}`, `ready ${rig}`, 300000),
      new Promise((_, fail) => pbx.once('exit', (code) => fail(new Error(`Asterisk ended with ${code}:\n${said.text}`)))),
    ]).finally(() => said.forget());
  };
  const closePbx = async () => {
    pbx.stdin.end();
    if (pbx.exitCode === null) await new Promise((done) => pbx.once('exit', done));
  };
  await openPbx();
  const env = Object.fromEntries(readFileSync(join(rig, 'rig.env'), 'utf8').trim().split('\n').map((line) => {
    const at = line.indexOf('=');
    return [line.slice(0, at), line.slice(at + 1)];
  }));
  const managerWay = ami ? await freezableWay(Number(env.AMI_PORT)) : undefined;
  const manager = { host: '127.0.0.1', port: managerWay?.port, username: 'goastgateway', secret: env.AMI_SECRET };
  const ariWay = ari ? await freezableWay(Number(env.HTTP_PORT)) : undefined;
  const token = 'a-token-for-the-api-of-tests-0123456789';
  const settings = {
    asterisk_addr: `127.0.0.1:${asteriskPort}`,
    browser_addr: `127.0.0.1:${browserPort}`,
    admin_addr: `127.0.0.1:${adminPort}`,
    extension_variable: 'WS_EXTEN',
    exten_search_pattern: 'ws-ext-(\\w+)',
    cert_file: file('cert.pem'),
    key_file: file('key.pem'),
    allowed_asterisk_ips: ['127.0.0.1'],
    allowed_browser_ips: ['127.0.0.1'],
    allowed_origins: [`https://127.0.0.1:${browserPort}`],
    jwt_secret: 'a-secret-for-tests-that-is-long-enough-0123456789',
    log_level: 'DEBUG',
    ...(ami ? { ami: manager } : {}),
    ...(ari
      ? {
          ari: { url: `http://127.0.0.1:${ariWay.port}`, username: env.ARI_USER, password: env.ARI_SECRET, connection: 'ws-ext-endpoint' },
          api_tokens: [token],
          state_dir: '',
        }
      : {}),
    ...config,
  };
  const write = (changed = {}) => writeFileSync(file('goastgateway.json'), JSON.stringify({ ...settings, ...changed }));
  write();
  writeFileSync(file('gag_groups.json'), JSON.stringify(groups));
  const files = ['-c', file('goastgateway.json'), '-g', file('gag_groups.json')];

  const open = () => {
    const process = spawn(binary(), files, { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = new Promise((done) => process.once('exit', (code, signal) => done(code ?? signal)));
    return { process, log: new Lines(process.stdout), ended };
  };
  let { process: gateway, log, ended: exited } = open();
  const way = await freezableWay(browserPort);
  const house = {
    folder,
    log,
    exited,
    gateway,
    way,
    /** A link that logs a page in; over the way that can freeze, or straight. */
    token: (ext) => execFileSync(binary(), ['token', ...files, '--ext', ext]).toString().trim(),
    /** Where phones connect. */
    phoneUrl: `wss://127.0.0.1:${browserPort}/phone`,
    origin: `https://127.0.0.1:${browserPort}`,
    /** The way to the manager, which can be cut. */
    managerWay,
    ariWay,
    /** The API; gives status and body. */
    async api(method, path, body) {
      const answer = await fetch(`http://127.0.0.1:${adminPort}/api/v1${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, ...(body ? { 'content-type': 'application/json' } : {}) },
        body: body && JSON.stringify(body),
      });
      return { status: answer.status, body: answer.headers.get('content-type')?.includes('json') ? await answer.json() : await answer.arrayBuffer() };
    },
    /** Asterisk's ARI itself, past the gateway. */
    async ari(path, method = 'GET') {
      const login = Buffer.from(`${env.ARI_USER}:${env.ARI_SECRET}`).toString('base64');
      const answer = await fetch(`http://127.0.0.1:${env.HTTP_PORT}/ari${path}`, { method, headers: { authorization: `Basic ${login}` } });
      return answer.status === 204 ? undefined : answer.json();
    },
    /** The gateway ends by this signal, and another is started with the same settings. */
    async restart(signal) {
      gateway.kill(signal);
      await exited;
      ({ process: gateway, log, ended: exited } = open());
      Object.assign(house, { gateway, log, exited });
      await log.wait((line) => line.includes('listening for browsers'), 'listening for browsers');
    },
    /** Sends an action to the manager, and gives the first packet for which `is` is so. */
    async manager(action, is) {
      const socket = connect(Number(env.AMI_PORT), '127.0.0.1').setEncoding('utf8');
      const packet = (fields) => `${Object.entries(fields).map(([key, value]) => `${key}: ${value}`).join('\r\n')}\r\n\r\n`;
      socket.write(packet({ Action: 'Login', Username: env.AMI_USER, Secret: env.AMI_SECRET }) + packet(action));
      let text = '';
      for await (const part of socket) {
        text += part;
        const packets = text.split('\r\n\r\n').map((one) => Object.fromEntries(one.split('\r\n').map((line) => {
          const at = line.indexOf(': ');
          return [line.slice(0, at), line.slice(at + 2)];
        })));
        const found = packets.find(is);
        if (found) return socket.destroy(), found;
      }
      throw new Error(`the manager closed:\n${text}`);
    },
    /** Asterisk ends, with all its calls, and starts anew where it was. */
    async restartAsterisk() {
      await closePbx();
      // A port may be somebody's for a moment.
      for (let tries = 1; ; tries += 1) {
        try {
          return await openPbx('--http', env.HTTP_PORT, '--ami', env.AMI_PORT);
        } catch (error) {
          if (tries === 5) throw error;
        }
      }
    },
    /** Files of the rig's folder. */
    list: (name) => readdirSync(join(rig, name)).map((file) => join(rig, name, file)),
    /** The commands that look at this house from outside. */
    async doctor() {
      const { stdout } = await run(binary(), ['doctor', '--json', ...files]).catch((error) => error);
      return JSON.parse(stdout);
    },
    /** A file of the rig's. */
    read: (name) => (existsSync(join(rig, name)) ? readFileSync(join(rig, name), 'utf8') : ''),
    hangup: (call) => run(script, ['hangup', rig, call]),
    link(ext, { frozen = false } = {}) {
      const token = house.token(ext);
      return `https://127.0.0.1:${frozen ? way.port : browserPort}/#token=${token}`;
    },
    rewrite: write,
    signal: (name) => gateway.kill(name),
    /** Asterisk calls a phone; see script/asterisk call. Gives the call's name. */
    async call(ext, ...options) {
      const { stdout } = await run(script, ['call', rig, ext, ...options]);
      return stdout.trim().split('\n').at(-1);
    },
    /** What the gateway prints for Asterisk's files, put into them and loaded. */
    async useOwnConfiguration(extensions) {
      const conf = (only) => execFileSync(binary(), ['asterisk-config', ...files, '--ext', extensions, '--only', only]);
      writeFileSync(join(rig, 'etc', 'websocket_client.conf'), conf('websocket-client'));
      appendFileSync(join(rig, 'etc', 'extensions.conf'), conf('extensions'));
      await house.cli('module reload res_websocket_client.so');
      await house.cli('dialplan reload');
    },
    async cli(command) {
      return (await run(script, ['cli', rig, command])).stdout;
    },
    /** How a call ended, by the dialplan: {dialstatus, hangupcause, …}. */
    async ended(call) {
      const { stdout } = await run(script, ['ended', rig, call]);
      const line = stdout.trim().split('\n').at(-1);
      return Object.fromEntries(line.split(' ').map((pair) => pair.split('=')));
    },
    record: (call) => join(rig, 'records', `${call}.wav16`),
    async metrics() {
      return (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();
    },
    /** Asks forty times a second until there is an answer, which it gives. */
    async until(what, check, tries = 800) {
      for (let n = 0; n < tries; n += 1) {
        const found = await check();
        if (found) return found;
        await new Promise((done) => setTimeout(done, 25));
      }
      throw new Error(`waited in vain until ${what}; the gateway's log:\n${log.text.slice(-4000)}`);
    },
    /** The line that the gateway logs at a call's end. */
    lastCall: () => log.text.split('\n').filter((line) => line.includes('call ended')).at(-1) ?? '',
    async tearDown() {
      way.close();
      managerWay?.close();
      ariWay?.close();
      gateway.kill('SIGKILL');
      await exited;
      await closePbx();
      if (process.env.KEEP_HOUSE) console.log(`kept: ${folder}\n${log.text}`);
      else rmSync(folder, { recursive: true, force: true });
    },
  };
  try {
    await Promise.race([
      log.wait((line) => line.includes('listening for browsers'), 'listening for browsers'),
      exited.then((code) => Promise.reject(new Error(`the gateway ended with ${code}:\n${log.text}`))),
    ]);
    if (ari) await log.wait((line) => line.includes("logged in to Asterisk's ARI"), 'logged in to ARI');
    if (ami) await log.wait((line) => line.includes("logged in to Asterisk's manager"), 'logged in to the manager');
  } catch (error) {
    await house.tearDown();
    throw error;
  }
  return house;
}

/**
 * A way to a port of this machine that can be frozen: nothing goes through in either direction,
 * and nothing is lost, as when a radio network stalls.
 */
async function freezableWay(target) {
  const pairs = new Set();
  let frozen = false;
  const server = createServer((near) => {
    const far = connect(target, '127.0.0.1');
    const pair = [near, far];
    pairs.add(pair);
    for (const socket of pair) {
      socket.setNoDelay(true);
      socket.on('error', () => {});
      socket.on('close', () => {
        pairs.delete(pair);
        near.destroy();
        far.destroy();
      });
    }
    near.on('data', (data) => far.write(data));
    far.on('data', (data) => near.write(data));
    if (frozen) pair.forEach((socket) => socket.pause());
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const all = (what) => pairs.forEach((pair) => pair.forEach((socket) => socket[what]()));
  return {
    port: server.address().port,
    freeze() {
      frozen = true;
      all('pause');
    },
    thaw() {
      frozen = false;
      all('resume');
    },
    /** The cable is pulled: connections break without a goodbye. */
    cut: () => all('resetAndDestroy'),
    close() {
      all('destroy');
      server.close();
    },
  };
}
