// The Pico's 2 MB of flash: kept in a file, byte for byte as a power cut at any instant leaves it.
//
// rp2040js does not model the flash controller that the boot ROM's routines drive.  So those are
// replaced by stubs, which hand their arguments to a peripheral of ours at 0x40070000:
//
//     +0x00..0x08  arguments       +0x0c  1: erase(at, n)  2: program(at, source, n)
//     +0x14  read: CPU cycles so far, 8 ns each      +0x18  write n: the power fails half-way
//     +0x1c  read: erases and programs so far               through the n-th erase or program
//     +0x20  read: of the cycles at +0x14, those that the CPU slept

import fs from 'fs';

export const REGISTERS = 0x40070;             // its number among rp2040js' peripherals: address >> 12
const SIZE = 2 << 20, START = 0x10000000, SECTOR = 4096, PAGE = 256;
const ERASE_NS = 45e6, PROGRAM_NS = 0.4e6;    // W25Q16JV, typical, for a sector and for a page
const ERASE = 1;

export class Flash {
  constructor(path) {
    this.image = new Uint8Array(SIZE).fill(0xff);
    this.file = -1;
    this.nOps = 0;
    this.cutAt = 0;
    this.onCut = () => {};
    if (!path) return;
    this.file = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o644);
    if (fs.readSync(this.file, this.image, 0, SIZE, 0) < SIZE) this.save(0, SIZE);
  }

  // Puts a firmware where it belongs: UF2 is blocks of 512 bytes that name their addresses.
  load(uf2) {
    for (let at = 0; at + 512 <= uf2.length; at += 512) {
      if (uf2.readUInt32LE(at) !== 0x0a324655) throw new Error('the firmware is no UF2 file');
      const address = uf2.readUInt32LE(at + 12), n = uf2.readUInt32LE(at + 16);
      this.image.set(uf2.subarray(at + 32, at + 32 + n), address - START);
    }
    this.save(0, SIZE);
  }

  save(at, n) {
    if (this.file >= 0) fs.writeSync(this.file, this.image, at, n, at);
  }

  // Changes n bytes; read(i) gives what is programmed there, null erases.  Returns the time in ns.
  change(mcu, at, n, read) {
    const cut = ++this.nOps === this.cutAt;
    const whole = n;
    if (cut) n >>= 1;
    for (let i = at; i < at + n; i++) this.image[i] = read ? this.image[i] & read(i - at) : 0xff;
    mcu.flash.set(this.image.subarray(at, at + n), at);
    this.save(at, n);
    if (cut) this.onCut();
    return read ? (whole / PAGE) * PROGRAM_NS : (whole / SECTOR) * ERASE_NS;
  }

  // The boot ROM with its flash routines replaced; `words` is changed in place.
  patch(words) {
    const rom = Buffer.from(words.buffer, words.byteOffset, words.byteLength);
    const stub = op => [
      0x2380, 0x01db, 0x3307, 0x041b,         // r3 = 0x40070000
      0x6018, 0x6059, 0x609a,                 // str r0..r2, [r3, #0..8]
      0x2000 | op, 0x60d8, 0x4770,            // movs r0, #op; str r0, [r3, #12]; bx lr
    ];
    const nothing = [0x4770];
    const routines = { IF: nothing, EX: nothing, FC: nothing, CX: nothing, RE: stub(1), RP: stub(2) };
    for (let entry = rom.readUInt16LE(0x14); rom.readUInt16LE(entry); entry += 4) {
      const code = routines[rom.toString('latin1', entry, entry + 2)];
      const at = rom.readUInt16LE(entry + 2) & ~1;
      if (code) code.forEach((halfword, i) => rom.writeUInt16LE(halfword, at + 2 * i));
    }
  }

  // The peripheral at REGISTERS for one power-up of the chip; delay(ns) stops its CPU for so long.
  peripheral(BasePeripheral, mcu, delay, cycles, slept) {
    const flash = this;
    const args = [0, 0, 0];
    return new class extends BasePeripheral {
      readUint32(offset) {
        if (offset === 0x14) return cycles() >>> 0;
        if (offset === 0x20) return slept() >>> 0;
        return offset === 0x1c ? flash.nOps : 0;
      }
      writeUint32(offset, value) {
        const [at, second, third] = args;
        if (offset < 12) args[offset >> 2] = value >>> 0;
        else if (offset === 0x18) flash.cutAt = value ? flash.nOps + value : 0;
        else if (value === ERASE) delay(flash.change(mcu, at, second, null));
        else delay(flash.change(mcu, at, third, i => mcu.readUint8(second + i)));
      }
    }(mcu, 'FLASH');
  }
}
