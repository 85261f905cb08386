// One Raspberry Pi Pico: rp2040js with what a real board has and rp2040js 1.4.1 lacks.
//
//   - flash that can be written (flash.mjs), a reset by the watchdog (machine.reset())
//   - USB that waits until the host has something to send: rp2040js answers at once with nothing,
//     an interrupt storm; and DTR, which tells the board whether a program has its port open
//   - a chip id and a random bit of its own; the UART's interrupt goes away; the second core, which
//     is not emulated, can be reset

import { FastRunner } from './core.mjs';
import { REGISTERS } from './flash.mjs';

const HZ = 125e6, NS = 1e9 / HZ;
const PACKET_US = 53;                         // full speed: 19 packets of 64 bytes in 1 ms
const HIGH_WATER = 65536;                     // bytes from the host that wait; then it must, too
const PSM = 0x40010, SSI = 0x18000, WATCHDOG = 0x40058, ROSC = 0x40060;

export class Pico {
  // chip: rp2040js' modules.  uid: 8 bytes.  onSerial(bytes), onUp() and log(text) are called back.
  constructor(chip, flash, rom, { uid, seed, onSerial, onUp, log }) {
    Object.assign(this, { chip, flash, rom, uid, onSerial, onUp, log });
    this.random = (seed ^ uid.readUInt32BE(4)) >>> 0 || 1;
    this.open = false;                        // the host's program has the port open
    this.powerOn();
  }

  powerOn(previous) {
    const { RP2040, USBCDC, BasePeripheral, SimulationClock } = this.chip;
    this.clock = new SimulationClock();
    const mcu = this.mcu = new RP2040(this.clock);
    const ignore = () => {};
    const error = (part, text) => { throw new Error(`${part}: ${text}`); };   // a HardFault, mostly
    mcu.logger = { debug: ignore, info: ignore, warn: ignore, error };
    const words = new Uint32Array(4096);
    new Uint8Array(words.buffer).set(this.rom);
    this.flash.patch(words);
    mcu.loadBootrom(words);                   // this also empties the flash
    mcu.flash.set(this.flash.image);
    mcu.onBreak = code => this.log(`breakpoint ${code} at ${mcu.core.PC.toString(16)}`);
    this.reset = false;
    this.up = false;
    this.incoming = [];                       // chunks from the host that the board has not read
    this.nIncoming = 0;
    this.awaited = null;                      // how many bytes the board is ready to take
    this.mendUsb(USBCDC);
    this.mendWatchdog(previous);
    this.mendUart();
    this.mendFifo();
    this.mendId();
    this.core = new FastRunner(mcu, this.clock);
    const delay = ns => { this.core.extraNanos += ns; };
    const cycles = () => Math.round(this.clock.nanos / NS);
    this.sleptNanos = 0;
    const slept = () => Math.round(this.sleptNanos / NS);
    mcu.peripherals[REGISTERS] = this.flash.peripheral(BasePeripheral, mcu, delay, cycles, slept);
    mcu.core.PC = 0x10000000;                 // the second-stage loader, at the start of the flash
  }

  // Runs up to n instructions, until the CPU sleeps or the watchdog bites.  Returns how many.
  run(n) {
    const done = this.core.run(n);
    this.restart();
    return done;
  }

  get asleep() { return this.mcu.core.waiting; }

  // How long the sleeping CPU has nothing to do, in ns; pass(ns) lets that time go by.
  get idleNanos() { return this.clock.nextAlarm ? this.clock.nanosToNextAlarm : 1e6; }
  pass(ns) { this.sleptNanos += ns; this.clock.tick(ns); this.restart(); }

  restart() {
    if (!this.reset) return;
    this.log('watchdog reset');
    this.powerOn(this.mcu.peripherals[WATCHDOG]);
  }

  // ---- USB serial

  mendUsb(USBCDC) {
    const usb = this.mcu.usbCtrl;
    usb.readDelayMicroseconds = usb.writeDelayMicroseconds = PACKET_US;
    const cdc = this.cdc = new USBCDC(usb);
    cdc.onDeviceConnected = () => {           // which is called as it sets DTR
      this.up = true;
      if (!this.open) this.clock.createAlarm(() => this.sayOpen()).schedule(1e6);
      this.onUp(this.clock.nanos / 1e6);
    };
    cdc.onSerialData = bytes => { if (bytes.length && this.open) this.onSerial(bytes); };
    usb.onEndpointRead = (endpoint, size) => {
      if (endpoint !== cdc.outEndpoint) return;
      this.awaited = size;
      this.feed();
    };
  }

  // Bytes from the host.  False: that is enough for now, ask `thirsty` before sending more.
  receive(bytes) {
    this.incoming.push(bytes);
    this.nIncoming += bytes.length;
    this.feed();
    return this.thirsty;
  }
  get thirsty() { return this.nIncoming < HIGH_WATER; }

  feed() {
    if (this.awaited === null || !this.nIncoming) return;
    const packet = new Uint8Array(Math.min(this.awaited, this.nIncoming));
    for (let at = 0; at < packet.length;) {
      const first = this.incoming[0], n = Math.min(first.length, packet.length - at);
      packet.set(first.subarray(0, n), at);
      at += n;
      if (n === first.length) this.incoming.shift(); else this.incoming[0] = first.subarray(n);
    }
    this.nIncoming -= packet.length;
    this.awaited = null;
    this.mcu.usbCtrl.endpointReadDone(this.cdc.outEndpoint, packet);
  }

  // A program opens the port or closes it: DTR.  A board drops what it prints to a closed port.
  setOpen(open) {
    if (this.open === open) return;
    this.open = open;
    if (this.up) this.sayOpen();
  }
  sayOpen() { this.cdc.cdcSetControlLineState(this.open ? 3 : 0); }

  // ---- the rest

  mendWatchdog(previous) {
    const watchdog = this.mcu.peripherals[WATCHDOG];
    if (previous) {                           // these survive, so that the program can ask why
      watchdog.reason = previous.reason;
      watchdog.scratchData.set(previous.scratchData);
    }
    watchdog.onWatchdogTrigger = () => {
      this.reset = true;
      this.core.stop = true;
      this.core.extraNanos += 1;
    };
  }

  // Its transmit interrupt stays up for ever in rp2040js.  Ours comes after a byte; UARTICR ends it.
  mendUart() {
    for (const uart of this.mcu.uart) {
      const write = uart.writeUint32.bind(uart);
      uart.checkInterrupts = () => {
        this.mcu.setInterrupt(uart.irq, !!(uart.interruptStatus & uart.interruptMask));
      };
      uart.writeUint32 = (offset, value) => {
        write(offset, value);
        if (offset !== 0) return;
        uart.interruptStatus |= 1 << 5;
        uart.checkInterrupts();
      };
    }
  }

  // There is no second core. But a reset of it, which each soft reset of MicroPython does, is
  // answered as its boot ROM answers: with a 0 in the FIFO between the cores.
  mendFifo() {
    const sio = this.mcu.sio, psm = this.mcu.peripherals[PSM];
    const read = sio.readUint32.bind(sio), write = psm.writeUint32.bind(psm);
    let answered = false;
    psm.writeUint32 = (offset, value) => {
      write(offset, value);
      if (offset === 4) answered = !(value & 1 << 16);
    };
    sio.readUint32 = offset => {
      if (offset === 0x50) return answered ? 3 : 2;
      if (offset !== 0x58) return read(offset);
      answered = false;
      return 0;
    };
  }

  // machine.unique_id() is the flash chip's answer to command 4B; os.urandom() is the ring
  // oscillator's random bit, here xorshift32.  rp2040js gives zeros and a constant.
  mendId() {
    const ssi = this.mcu.peripherals[SSI], answer = [];
    const read = ssi.readUint32.bind(ssi), write = ssi.writeUint32.bind(ssi);
    let n = -1;
    ssi.writeUint32 = (offset, value) => {
      if (offset !== 0x60 || (n < 0 && value !== 0x4b)) return write(offset, value);
      n++;
      answer.push(n >= 5 ? this.uid[n - 5] : 0);
      if (n === 12) n = -1;
    };
    ssi.readUint32 = offset => {
      if (offset === 0x60 && answer.length) return answer.shift();
      return offset === 0x28 && n >= 0 && !answer.length ? 6 : read(offset);
    };
    this.mcu.peripherals[ROSC].readUint32 = offset => {
      if (offset !== 0x1c) return 0xffffffff;
      this.random ^= this.random << 13;
      this.random ^= this.random >>> 17;
      this.random ^= this.random << 5;
      return (this.random >>> 7) & 1;
    };
  }
}
