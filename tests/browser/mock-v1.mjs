// The gateway's side of the phone protocol, version 1, in a few lines: logs phones in, keeps them
// when their socket is lost, does what they ask at once (or what a test says), and remembers all.

import Ajv from 'ajv/dist/2020.js';
import { randomUUID } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { readFileSync } from 'node:fs';

export const V1 = 'goastgateway.v1';

const schema = JSON.parse(readFileSync(new URL('../../docs/phone-protocol.schema.json', import.meta.url)));
const ajv = new Ajv({ strict: false, validateFormats: false });
ajv.addSchema(schema);
/** What the protocol's schema says of a message of either side; null when it is right. */
const faultOf = (side, message) => {
  const check = ajv.getSchema(`${schema.$id}#/$defs/${side}`);
  return check(message) ? null : `${JSON.stringify(message)}: ${check.errors.filter((e) => e.keyword !== 'const' && e.keyword !== 'anyOf').map((e) => `${e.instancePath} ${e.message}`).join(', ')}`;
};

/** Once in a test: the answer to whatever the phone asks. */
const REFUSALS = { 20101: 'token_invalid', 20104: 'token_expired' };

/**
 * Logins and what becomes of them.
 * Events: `phone(V1Phone)` after each login, resumed or not.
 */
export class V1Door extends EventEmitter {
  /** @type {Map<string, V1Phone>} */
  phones = new Map();
  sockets = new Set();
  logins = [];
  /** Messages of either side that the schema does not know so. @type {string[]} */
  faults = [];
  /** A second, living login of an extension: 'replace' or 'reject'. */
  duplicate = 'replace';
  resumeMs = 3000;
  pingEveryMs = 20000;
  /** While set, logins are answered by this close code. */
  refuseLogin = 0;
  /** While set, nobody says welcome. */
  silent = false;
  #readToken;

  constructor(readToken) {
    super();
    this.#readToken = readToken;
  }

  connect(ws) {
    this.sockets.add(ws);
    ws.on('close', () => this.sockets.delete(ws));
    ws.on('error', () => {});
    ws.once('message', (data) => this.#login(ws, JSON.parse(String(data))));
  }

  #login(ws, m) {
    this.logins.push(m);
    this.check('fromPhone', m);
    if (this.silent) return;
    if (this.refuseLogin) return ws.close(this.refuseLogin);
    const claims = this.#readToken(m.token);
    if (!claims) {
      const expired = (() => { try { return JSON.parse(Buffer.from(m.token.split('.')[1], 'base64url')).exp * 1000 < Date.now(); } catch { return false; } })();
      const code = expired ? 20104 : 20101;
      ws.send(JSON.stringify({ type: 'error', code, name: REFUSALS[code], message: 'no' }));
      return ws.close(4401);
    }
    let phone = this.phones.get(claims.ext);
    const resumed = Boolean(phone && phone.calls.size > 0 && (phone.resume === m.resume || !phone.isThere));
    if (phone?.isThere && !resumed) {
      if (this.duplicate === 'reject' && phone.resume !== m.resume) {
        const error = { type: 'error', code: 31409, name: 'extension_in_use', message: 'the extension is logged in elsewhere', devices: phone.devices };
        this.check('toPhone', error);
        ws.send(JSON.stringify(error));
        return ws.close(4409);
      }
      phone.socket.close(4410);
      phone = undefined;
    }
    if (!resumed) phone = new V1Phone(claims.ext, this);
    else if (phone.isThere) phone.socket.close(4410);
    this.phones.set(claims.ext, phone);
    phone.take(ws, { resumed, expires: claims.exp * 1000, login: m });
    this.emit('phone', phone);
  }

  check(side, message) {
    const fault = faultOf(side, message);
    if (fault) this.faults.push(`${side} ${fault}`);
  }

  /** The phone of an extension, once it is there. */
  async phone(ext) {
    while (!this.phones.get(ext)?.isThere) await once(this, 'phone');
    return this.phones.get(ext);
  }

  stop() {
    for (const phone of this.phones.values()) phone.quiet();
    for (const ws of this.sockets) ws.terminate();
  }
}

/**
 * One phone, across its sockets.
 * Events: `message(object)`, `audio(Buffer)`, `gone()`, `back()`.
 */
export class V1Phone extends EventEmitter {
  socket = null;
  resume = randomUUID();
  calls = new Map();
  said = [];
  frames = [];
  /** Frames to the phone. */
  sent = 0;
  answers = new Map();
  presence = { state: 'ready' };
  features = { hold: true, dial: true, dtmf: true, transfer: true };
  /** Requests that are refused: type to error. */
  refusals = {};
  /** Requests that get no answer at all. */
  ignored = new Set();
  quality = { asterisk_queue_ms: 40, to_phone_queue_ms: 0 };
  #player = null;
  #source = null;

  constructor(ext, door) {
    super();
    this.ext = ext;
    this.door = door;
  }

  get isThere() {
    return this.socket?.readyState === 1;
  }

  take(ws, { resumed, expires, login }) {
    this.socket = ws;
    this.login = login;
    this.number = this.door.logins.length;
    this.since = Date.now();
    ws.on('message', (data, binary) => this.socket === ws && this.#hear(data, binary));
    ws.on('close', () => {
      if (this.socket !== ws) return;
      this.socket = null;
      this.goneAt = performance.now();
      this.emit('gone');
      setTimeout(() => !this.isThere && this.calls.clear(), this.door.resumeMs);
    });
    this.send({
      type: 'welcome', extension: this.ext, login: this.number, resume: this.resume, resumed,
      server: { version: '0.2.0', time: Date.now() }, token_expires: expires,
      limits: { message_bytes: 65500, calls: 2, digits: 64 }, features: this.features,
      ping_every_ms: this.door.pingEveryMs, resume_ms: this.door.resumeMs, presence: this.presence,
      devices: this.devices, calls: [...this.calls.values()],
    });
    if (resumed) this.emit('back');
  }

  /** Who is logged in: this page, and the others. */
  others = [];
  get devices() {
    return [...this.others, { login: this.number, device: this.login.device ?? null, since: this.since }];
  }

  send(message) {
    this.door.check('toPhone', message);
    if (this.isThere) this.socket.send(JSON.stringify(message));
  }

  #hear(data, binary) {
    if (binary) {
      this.frames.push({ at: performance.now(), data });
      return this.emit('audio', data);
    }
    const m = JSON.parse(String(data));
    this.said.push(m);
    this.door.check('fromPhone', m);
    this.#answer(m);
    this.emit('message', m);
  }

  #answer(m) {
    if (this.ignored.has(m.type)) return;
    if (m.id !== undefined && this.answers.has(m.id)) return this.send(this.answers.get(m.id));
    const reply = (answer) => {
      if (m.id === undefined) return;
      const whole = { ...answer, id: m.id };
      this.answers.set(m.id, whole);
      this.send(whole);
    };
    if (this.refusals[m.type]) return reply({ type: 'error', ...this.refusals[m.type] });
    const call = this.calls.get(m.call);
    const needsCall = ['answer', 'reject', 'hangup', 'hold', 'mute', 'dtmf', 'transfer'].includes(m.type);
    if (needsCall && !call) return reply({ type: 'error', code: 31404, name: 'no_such_call', message: 'this phone has no such call' });
    switch (m.type) {
      case 'ping':
        return this.send({ type: 'pong', n: m.n, time: Date.now() });
      case 'answer':
        reply({ type: 'ok' });
        return this.connected(call.call);
      case 'reject':
        reply({ type: 'ok' });
        return this.ended(call.call, { reason: 'declined', side: 'phone', cause: 17 });
      case 'hangup':
        reply({ type: 'ok' });
        return this.ended(call.call, { reason: 'phone_hung_up', side: 'phone', cause: 16 });
      case 'hold':
        reply({ type: 'ok' });
        return m.on ? this.held(call.call, true) : this.#activate(call);
      case 'mute':
        call.muted = m.on;
        return reply({ type: 'ok' });
      case 'transfer':
        return this.#transfer(m, call, reply);
      case 'dial': {
        const made = this.#made({ direction: 'outgoing', state: 'dialling', from: { number: this.ext, name: null }, to: m.to, variables: m.variables ?? {} });
        reply({ type: 'ok', call: made.call });
        this.send({ type: 'outgoing', ...made });
        return this.send({ type: 'progress', call: made.call, state: 'dialling', audio: false });
      }
      case 'presence':
        this.presence = { state: m.state, reason: m.reason ?? null, until: m.seconds ? Date.now() + m.seconds * 1000 : null, reachable: true };
        reply({ type: 'ok' });
        return this.send({ type: 'presence', ...this.presence });
      case 'token':
        return reply({ type: 'ok', expires: JSON.parse(Buffer.from(m.token.split('.')[1], 'base64url')).exp * 1000 });
      case 'stats':
        return this.send({ type: 'quality', call: m.call, dropped_to_phone: 0, dropped_to_asterisk: 0, filled: 0, rtt_ms: 5, ...this.quality });
      case 'logout':
        this.calls.clear();
        return this.socket.close(1000);
      case 'ringing':
      case 'pong':
        return;
      default:
        return reply({ type: 'ok' });
    }
  }

  #transfer(m, call, reply) {
    if (m.mode === 'blind') {
      reply({ type: 'ok' });
      return this.ended(call.call, { reason: 'transferred', side: 'phone', cause: 16 });
    }
    const second = [...this.calls.values()].find((c) => c.consults_for === call.call);
    if (m.mode === 'attended') {
      this.held(call.call, true);
      const made = this.#made({ direction: 'outgoing', state: 'dialling', from: { number: this.ext, name: null }, to: m.to, consults_for: call.call });
      reply({ type: 'ok', call: made.call });
      return this.send({ type: 'outgoing', ...made });
    }
    reply({ type: 'ok' });
    if (second) this.ended(second.call, m.mode === 'complete' ? { reason: 'transferred', side: 'phone' } : { reason: 'phone_hung_up', side: 'phone' });
    if (m.mode === 'complete') this.ended(call.call, { reason: 'transferred', side: 'phone' });
    else this.#activate(call);
  }

  #made(some) {
    const call = {
      call: randomUUID(), direction: 'incoming', state: 'ringing', from: { number: null, name: null }, to: this.ext, group: null, variables: {},
      held: false, held_by_far: false, muted: false, since: Date.now(), answered: null, consults_for: null, ...some,
    };
    this.calls.set(call.call, call);
    return call;
  }

  #activate(call) {
    for (const other of this.calls.values()) if (other !== call && other.state === 'open' && !other.held) this.held(other.call, true);
    if (call.held) this.held(call.call, false);
  }

  // ---- what a test makes happen

  /** A call comes in. @returns {string} its id */
  incoming(some = {}) {
    const call = this.#made({ from: { number: '0312345678', name: 'Alice' }, ...some });
    this.send({ type: 'incoming', ...call, ring_ms: 60000, waiting: [...this.calls.values()].some((c) => c.state === 'open') });
    return call.call;
  }

  progress(id, { state = 'alerting', audio = false } = {}) {
    this.calls.get(id).state = state;
    this.send({ type: 'progress', call: id, state, audio });
  }

  connected(id) {
    const call = this.calls.get(id);
    call.state = 'open';
    call.answered = Date.now();
    this.#activate(call);
    this.send({ type: 'connected', call: id, answered: call.answered });
  }

  held(id, on, by = 'phone') {
    this.calls.get(id)[by === 'far' ? 'held_by_far' : 'held'] = on;
    this.send({ type: 'held', call: id, on, by });
  }

  ended(id, why = {}) {
    this.calls.delete(id);
    this.send({ type: 'ended', call: id, reason: 'caller_hung_up', side: 'caller', by: null, cause: 16, talk_ms: 0, ...why });
  }

  /** Waits until the phone says this; one that has come already counts, once. */
  async says(type) {
    for (;;) {
      const at = this.said.findIndex((m) => m.type === type);
      if (at >= 0) return this.said.splice(at, 1)[0];
      await once(this, 'message');
    }
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
    this.#source = sample;
    const start = performance.now();
    let sent = 0;
    this.#player = setInterval(() => {
      while (sent * 20 <= performance.now() - start) {
        const frame = Buffer.alloc(640);
        for (let k = 0; k < 320; k++) frame.writeInt16LE(Math.round(32767 * this.#source(sent * 320 + k)), k * 2);
        if (this.isThere && [...this.calls.values()].some((c) => c.state === 'open' && !c.held)) {
          this.socket.send(frame);
          this.sent++;
        }
        sent++;
      }
    }, 5);
  }

  tone(hz, amplitude = 0.4) {
    this.play((i) => amplitude * Math.sin((2 * Math.PI * hz * i) / 16000));
  }

  quiet() {
    clearInterval(this.#player);
  }

  /** The network is cut: no close frame. */
  cut() {
    this.socket?.terminate();
  }
}
