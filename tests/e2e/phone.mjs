// A phone that speaks goastgateway.v1, for tests: it confirms what rings, answers pings, sends
// silence 50 times a second, and lets a test wait for what it is told.

import { createRequire } from 'node:module';

const { WebSocket } = createRequire(new URL('../browser/package.json', import.meta.url))('ws');
const FRAME = Buffer.alloc(640);

export class Phone {
  #said = [];
  #waiting = [];
  #next = 0;
  /** The newest audio. */
  #heard = [];

  static async open(house, ext, more = {}) {
    const phone = new Phone();
    phone.socket = new WebSocket(house.phoneUrl, 'goastgateway.v1', {
      rejectUnauthorized: false,
      origin: house.origin,
    });
    phone.socket.on('message', (data, isBinary) => (isBinary ? phone.#heard.push(data) : phone.#take(JSON.parse(data))));
    await new Promise((done, fail) => phone.socket.once('open', done).once('error', fail));
    phone.say({ type: 'login', token: house.token(ext), device: 'test', ...more });
    phone.welcome = await phone.hears('welcome');
    phone.timer = setInterval(() => phone.socket.readyState === 1 && phone.socket.send(FRAME), 20);
    return phone;
  }

  close() {
    clearInterval(this.timer);
    this.socket.terminate();
  }

  say(message) {
    this.socket.send(JSON.stringify(message));
  }

  #take(message) {
    if (message.type === 'ping') return this.say({ type: 'pong', n: message.n });
    if (message.type === 'incoming') this.say({ type: 'ringing', call: message.call });
    const at = this.#waiting.findIndex(({ test }) => test(message));
    if (at < 0) return this.#said.push(message);
    this.#waiting.splice(at, 1)[0].done(message);
  }

  /** The next message of this type for which all of `like` is so. */
  hears(type, like = {}, timeout = 8000) {
    const test = (message) => message.type === type && Object.entries(like).every(([key, value]) => message[key] === value);
    const at = this.#said.findIndex(test);
    if (at >= 0) return Promise.resolve(this.#said.splice(at, 1)[0]);
    return new Promise((done, fail) => {
      const timer = setTimeout(
        () => fail(new Error(`no «${type}» ${JSON.stringify(like)}; said: ${JSON.stringify(this.#said)}`)),
        timeout,
      );
      this.#waiting.push({ test, done: (message) => (clearTimeout(timer), done(message)) });
    });
  }

  /** Asks, and gives the answer: `ok` or `error`. */
  ask(message) {
    const id = ++this.#next;
    this.say({ ...message, id });
    return Promise.race([this.hears('ok', { id }), this.hears('error', { id })]);
  }

  /** Asks for what has to be done. */
  async does(message) {
    const answer = await this.ask(message);
    if (answer.type !== 'ok') throw new Error(`${JSON.stringify(message)}: ${JSON.stringify(answer)}`);
    return answer;
  }

  /** Answers the next call that comes. */
  async answers() {
    const { call } = await this.hears('incoming');
    await this.does({ type: 'answer', call });
    await this.hears('connected', { call });
    return call;
  }

  /** Waits until a tone of this frequency is what is mostly heard, for a fifth of a second. */
  async hearsTone(hertz, timeout = 5000) {
    this.#heard = [];
    for (const until = Date.now() + timeout; Date.now() < until;) {
      await new Promise((done) => setTimeout(done, 20));
      this.#heard = this.#heard.slice(-10);
      if (this.#heard.length === 10 && shareOf(hertz, Buffer.concat(this.#heard)) > 0.4) return;
    }
    throw new Error(`no tone of ${hertz} Hz`);
  }
}

/** How much of a sound's power is one frequency's: 1 for that tone alone (Goertzel). */
export function shareOf(hertz, bytes, rate = 16000) {
  const step = 2 * Math.cos((2 * Math.PI * hertz) / rate);
  const count = bytes.length / 2;
  let [before, last, power] = [0, 0, 0];
  for (let n = 0; n < count; n += 1) {
    const sample = bytes.readInt16LE(2 * n);
    power += sample * sample;
    [before, last] = [last, sample + step * last - before];
  }
  return power < 1e6 ? 0 : (2 * (last * last + before * before - step * last * before)) / (count * power);
}
