// Loudspeakers and a microphone for browsers on a machine that has none: a PulseAudio of our own, which
// ends with the test. Firefox needs one to run an AudioContext at all; `tests/echo` makes a room of it.

import { execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** It is up within a second; this long only when something is wrong. */
const START_MS = 20000;

export const hasPulse = ['/usr/bin/pulseaudio', '/usr/local/bin/pulseaudio'].some(existsSync);

/**
 * @param {string} folder where its socket is
 * @param {string[]} modules what to load, in order: "module-null-sink sink_name=loudspeaker"
 */
export async function startPulse(folder, modules) {
  const env = { ...process.env, HOME: folder, XDG_RUNTIME_DIR: folder, PULSE_RUNTIME_PATH: join(folder, 'pulse') };
  delete env.PULSE_SERVER;
  const socket = join(folder, 'native');
  const wanted = [`module-native-protocol-unix auth-anonymous=1 socket=${socket}`, ...modules];
  const daemon = spawn('pulseaudio', ['-n', '--daemonize=no', '--exit-idle-time=-1', '--use-pid-file=no', ...wanted.flatMap((m) => ['-L', m])],
    { env, stdio: 'ignore' });
  const exited = new Promise((done) => daemon.once('exit', done));
  const server = `unix:${socket}`;
  const pactl = (...words) => execFileSync('pactl', ['--server', server, ...words], { env, stdio: 'pipe' }).toString();
  for (const end = performance.now() + START_MS; ;) {
    try {
      pactl('info');
      break;
    } catch (error) {
      if (performance.now() > end) throw error;
      await new Promise((done) => setTimeout(done, 50));
    }
  }
  return {
    /** For the browser. */
    env: { PULSE_SERVER: server },
    pactl,
    async close() {
      daemon.kill();
      await exited;
    },
  };
}
