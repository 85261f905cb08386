// An emulated Raspberry Pi Pico as a process.  tools/pico/lab.py starts it; by hand:
//
//   node main.mjs --kit FOLDER (--tcp PORT | --fd MASTER) [--flash FILE] [--uid HEX] [--seed N]
//                 [--pace N] [--stats] [--leash]
//
// leash: it ends when its standard input does, so that it does not outlive who started it.
// pace: idle emulated time runs at most N times as fast as the wall clock; 0: it is skipped.
// A busy CPU runs as fast as this machine can.  SIGTERM ends it; SIGKILL is a power cut.

import fs from 'fs';
import path from 'path';
import { pathToFileURL } from 'url';

import { Pico } from './board.mjs';
import { Flash } from './flash.mjs';
import { Pty, Tcp } from './serial.mjs';

const options = { pace: '1', seed: '1', uid: 'e660000000000001' };
for (let i = 2; i < process.argv.length; i++) {
  const name = process.argv[i].replace(/^--/, '');
  options[name] = (process.argv[i + 1] ?? '--').startsWith('--') ? '1' : process.argv[++i];
}
const log = text => fs.writeSync(2, `pico: ${text}\n`);
const load = async file =>
  import(pathToFileURL(path.join(options.kit, 'rp2040js', 'dist', 'esm', file)).href);
const chip = { ...await load('index.js'), ...await load('clock/simulation-clock.js') };

const flash = new Flash(options.flash);
flash.load(fs.readFileSync(path.join(options.kit, 'firmware.uf2')));
flash.onCut = () => { log('power cut'); process.kill(process.pid, 'SIGKILL'); };
const rom = fs.readFileSync(path.join(options.kit, 'bootrom.bin'));

let end = null;
const pico = new Pico(chip, flash, rom, {
  uid: Buffer.from(options.uid.padStart(16, '0').slice(-16), 'hex'),
  seed: Number(options.seed),
  onSerial: bytes => end.send(bytes),
  onUp: ms => log(`up after ${ms.toFixed(0)} ms`),
  log,
});
const callbacks = {
  onOpen: open => pico.setOpen(open),
  onData: bytes => { if (!pico.receive(bytes)) end.pause(true); },
  onListen: port => log(`port ${port}`),
};
end = options.fd ? new Pty(Number(options.fd), callbacks)
  : new Tcp(Number(options.tcp ?? 0), callbacks);

// ---- the run loop: slices of emulated work between turns of node's event loop

const SLICE = 100000, SLEEP_COST = 500, LONGEST_REST_MS = 5;
const pace = Number(options.pace);
let since = null;                             // emulated and wall time when they were last level

function slice() {
  let rest = 0;
  for (let n = 0; n < SLICE;) {
    if (!pico.asleep) { n += pico.run(SLICE - n); continue; }
    const ns = pico.idleNanos;
    if (pace) {
      since ??= { nanos: pico.clock.nanos, wall: performance.now() };
      const emulated = (pico.clock.nanos + ns - since.nanos) / 1e6;
      rest = emulated / pace - (performance.now() - since.wall);
      if (rest > 0) break;
    }
    pico.pass(ns);
    n += SLEEP_COST;
  }
  if (pico.thirsty) end.pause(false);
  // A busy emulator falls behind the wall clock: that debt is dropped, lest it skip later rests.
  if (rest <= 0) since = null;
  if (rest > 0) setTimeout(slice, Math.min(rest, LONGEST_REST_MS)); else setImmediate(slice);
}
setImmediate(slice);

if (options.stats) {
  let cpu = process.cpuUsage(), nanos = 0;
  setInterval(() => {
    const used = process.cpuUsage(cpu), s = (used.user + used.system) / 1e6;
    const mhz = (pico.clock.nanos - nanos) / 8 / s / 1e6;
    log(`${(pico.clock.nanos / 1e9).toFixed(3)} s emulated, ${s.toFixed(2)} s CPU, ${mhz.toFixed(1)} MHz`);
    cpu = process.cpuUsage();
    nanos = pico.clock.nanos;
  }, 1000);
}
if (options.leash) process.stdin.resume().on('end', () => process.exit(0));
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => process.exit(0));
