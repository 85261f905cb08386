// A Cortex-M0+ for rp2040js, some four times as fast as its own: the same state, the same cycles.
//
// Below is a table of instructions as JavaScript text; FastRunner's loop is put together from it
// and compiled once: one switch over a 64 K table of decoded opcodes, registers and flags in local
// variables, memory accesses inlined.  The clock advances lazily: `acc` cycles wait until a
// peripheral is accessed or the next alarm is due.  What is rare is left to rp2040js.
// Flags are as the ARMv6-M manual has them (rp2040js 1.4.1 gets some corners of C and V wrong).
//
// Names in the text: R registers (int32; R[13] SP, R[14] LR), N Z C V flags as 0 or 1, op, here and
// pc (the next instruction's), cy cycles.  D, M, T: the low three register fields of the opcode.

const D = 'op & 7', M = '(op >> 3) & 7', T = '(op >> 6) & 7', HIGH = '(op >> 8) & 7';
const IMM5 = '(op >> 6) & 31', IMM8 = '(op & 0xff)';
const DN = '(((op >> 4) & 8) | (op & 7))', RM = '((op >> 3) & 15)';

// ---- pieces

const nz = 'N = r >>> 31; Z = r === 0 ? 1 : 0;';
const set = (to, value) => `{ const r = ${value}; R[${to}] = r; ${nz} break; }`;
const added = 'V = ((a ^ r) & (b ^ r)) >>> 31; C = ((a & b) | ((a | b) & ~r)) >>> 31;';
const subtracted = 'V = ((a ^ b) & (a ^ r)) >>> 31;';
const add = (a, b, to, carry = '') =>
  `{ const a = ${a}, b = ${b}, r = (a + b${carry}) | 0; ${added} R[${to}] = r; ${nz} break; }`;
const subtract = (a, b, to) => `{ const a = ${a}, b = ${b}, r = (a - b) | 0; ${nz} ${subtracted}
  C = a >>> 0 >= b >>> 0 ? 1 : 0; ${to === undefined ? '' : `R[${to}] = r;`} break; }`;

// rp2040js' core reads and writes this loop's state through these.
const flush = 'clock.nanosCounter += acc * 8; due -= acc; acc = 0;';
const put = 'core.N = N === 1; core.Z = Z === 1; core.C = C === 1; core.V = V === 1; R[15] = pc;';
const get = `N = core.N ? 1 : 0; Z = core.Z ? 1 : 0; C = core.C ? 1 : 0; V = core.V ? 1 : 0;
  pc = R[15] & ~1;`;
const alarm = 'due = clock.nextAlarm ? (clock.nextAlarm.nanos - clock.nanosCounter) / 8 : Infinity;';
const updated = 'chk = core.interruptsUpdated;';
const left = `{ ${flush} pc = here; ${put} cy = core.executeInstruction(); ${get} ${updated} }`;

// A branch to a value: the top addresses mean "return from an exception".
const branch = target => `const t = ${target};
  if (t >>> 28 === 15) { ${put} core.BXWritePC(t); ${get} ${updated} }
  else pc = (t & ~1) >>> 0;`;

const inRam = 'a >= 0x20000000 && a < 0x20042000';
const inFlash = 'a >= 0x10000000 && a < 0x11000000';
const WIDTH = { 1: ['8', 0, 'Uint8'], 2: ['16', 1, 'Uint16'], 4: ['32', 2, 'Uint32'] };
const slow = `clock.nanosCounter += acc * 8; acc = 0; R[15] = pc;`;

// `to` = what is at address a.  Single accesses to peripherals take longer than to memory.
const read = (to, n, signed = '', single = true) => {
  const [bits, shift, name] = WIDTH[n];
  const got = value => `${to} = ${signed ? `(${value} << ${signed}) >> ${signed}` : value};`;
  return `if (${inRam}) ${got(`r${bits}[(a - 0x20000000) >> ${shift}]`)}
    else if (${inFlash}) ${got(`f${bits}[(a - 0x10000000) >> ${shift}]`)}
    else {
      ${single ? 'if (a >= 0x40000000) cy += a >= 0xd0000000 && a < 0xe0000000 ? -1 : a < 0x50000000 ? 2 : 0;' : ''}
      ${slow} const v = mcu.read${name}(a); ${alarm} ${updated} ${got('v')}
    }`;
};
const write = (value, n, single = true) => {
  const [bits, shift, name] = WIDTH[n];
  return `if (${inRam}) r${bits}[(a - 0x20000000) >> ${shift}] = ${value};
    else {
      ${single ? 'if (a >= 0x40000000) cy += a >= 0xd0000000 && a < 0xe0000000 ? -1 : a < 0x50000000 ? 3 : 0;' : ''}
      ${slow} mcu.write${name}(a, ${n === 4 ? `${value} >>> 0` : value}); ${alarm} ${updated}
    }`;
};
const load = (address, n, signed, to = D) =>
  `{ cy = 2; const a = (${address}) >>> 0; ${read(`R[${to}]`, n, signed)} break; }`;
const store = (address, n, from = D) =>
  `{ cy = 2; const a = (${address}) >>> 0; ${write(`R[${from}]`, n)} break; }`;
const each = access =>
  `for (let i = 0; i < 8; i++) if (op & (1 << i)) { ${access} a = (a + 4) >>> 0; cy++; }`;
const fetch = to => `if (pc >= 0x20000000 && pc < 0x20042000) ${to} = r16[(pc - 0x20000000) >> 1];
  else if (pc >= 0x10000000 && pc < 0x11000000) ${to} = f16[(pc - 0x10000000) >> 1];
  else if (pc < 0x4000) ${to} = b16[pc >> 1];
  else ${to} = mcu.readUint16(pc);`;
const byRegister = `R[${M}] + R[${T}]`;
const shifted = (r, carry) => `{ const d = op & 7, x = R[d], s = R[${M}] & 0xff, r = ${r};
  R[d] = r; ${nz} ${carry} break; }`;

// ---- the instructions: the first bits of the opcode, then what it does; the first match counts

const INSTRUCTIONS = [
  ['1011111100000000', 'break;'],                                                   // NOP
  ['0100000101', add(`R[${D}]`, `R[${M}]`, D, ' + C')],                             // ADCS
  ['10101', `R[${HIGH}] = R[13] + (${IMM8} << 2); break;`],                         // ADD Rd, SP
  ['101100000', 'R[13] = R[13] + ((op & 0x7f) << 2); break;'],                      // ADD SP
  ['0001110', add(`R[${M}]`, T, D)],                                                // ADDS #3
  ['00110', add(`R[${HIGH}]`, IMM8, HIGH)],                                         // ADDS #8
  ['0001100', add(`R[${M}]`, `R[${T}]`, D)],                                        // ADDS
  ['01000100', `{ const m = ${RM}, d = ${DN};
    const r = (d === 15 ? pc + 2 : R[d]) + (m === 15 ? pc + 2 : R[m]);
    if (d === 15) { pc = (r & ~1) >>> 0; cy++; } else R[d] = d === 13 ? r & ~3 : r; break; }`],
  ['10100', `R[${HIGH}] = (here & 0xfffffffc) + 4 + (${IMM8} << 2); break;`],       // ADR
  ['0100000000', set(D, `R[${D}] & R[${M}]`)],                                      // ANDS
  ['00010', `{ const s = (${IMM5}) || 32, x = R[${M}], r = x >> (s < 32 ? s : 31);
    R[${D}] = r; ${nz} C = (x >>> (s - 1)) & 1; break; }`],                         // ASRS #
  ['0100000100', shifted('x >> (s < 32 ? s : 31)',
    'if (s) C = (x >>> (s < 32 ? s - 1 : 31)) & 1;')],                              // ASRS
  ['0100001110', set(D, `R[${D}] & ~R[${M}]`)],                                     // BICS
  ['0100001011', `{ const a = R[${D}], b = R[${M}], r = (a + b) | 0; ${added} ${nz} break; }`],
  ['00101', subtract(`R[${HIGH}]`, IMM8)],                                          // CMP #
  ['0100001010', subtract(`R[${D}]`, `R[${M}]`)],                                   // CMP
  ['01000101', subtract(`R[${DN}]`, `R[${RM}]`)],                                   // CMP high
  ['0100000001', set(D, `R[${D}] ^ R[${M}]`)],                                      // EORS
  ['11001', `{ const b = ${HIGH}; let a = R[b] >>> 0; ${each(read('R[i]', 4, '', false))}
    if (!(op & (1 << b))) R[b] = a; break; }`],                                     // LDM
  ['01101', load(`R[${M}] + ((${IMM5}) << 2)`, 4)],                                 // LDR #
  ['10011', load(`R[13] + (${IMM8} << 2)`, 4, '', HIGH)],                           // LDR SP
  ['01001', load(`((pc + 2) & 0xfffffffc) + (${IMM8} << 2)`, 4, '', HIGH)],         // LDR PC
  ['0101100', load(byRegister, 4)],                                                 // LDR
  ['01111', load(`R[${M}] + (${IMM5})`, 1)],                                        // LDRB #
  ['0101110', load(byRegister, 1)],                                                 // LDRB
  ['10001', load(`R[${M}] + ((${IMM5}) << 1)`, 2)],                                 // LDRH #
  ['0101101', load(byRegister, 2)],                                                 // LDRH
  ['0101011', load(byRegister, 1, '24')],                                           // LDRSB
  ['0101111', load(byRegister, 2, '16')],                                           // LDRSH
  ['00000', `{ const s = ${IMM5}, x = R[${M}], r = x << s; R[${D}] = r; ${nz}
    if (s) C = (x >>> (32 - s)) & 1; break; }`],                                    // LSLS #, MOVS
  ['0100000010', shifted('s < 32 ? x << s : 0',
    'if (s) C = s <= 32 ? (x >>> (32 - s)) & 1 : 0;')],                             // LSLS
  ['00001', `{ const s = ${IMM5}, x = R[${M}], r = s ? (x >>> s) | 0 : 0; R[${D}] = r; ${nz}
    C = (x >>> (s ? s - 1 : 31)) & 1; break; }`],                                   // LSRS #
  ['0100000011', shifted('s < 32 ? (x >>> s) | 0 : 0',
    'if (s) C = s <= 32 ? (x >>> (s - 1)) & 1 : 0;')],                              // LSRS
  ['01000110', `{ const m = ${RM}, d = ${DN}, v = m === 15 ? pc + 2 : R[m];
    if (d === 15) { pc = (v & ~1) >>> 0; cy = 2; } else R[d] = d === 13 ? v & ~3 : v; break; }`],
  ['00100', set(HIGH, IMM8)],                                                       // MOVS #
  ['0100001101', set(D, `Math.imul(R[${M}], R[${D}])`)],                            // MULS
  ['0100001111', set(D, `~R[${M}]`)],                                               // MVNS
  ['0100001100', set(D, `R[${D}] | R[${M}]`)],                                      // ORRS
  ['1011110', `{ let a = R[13] >>> 0; ${each(read('R[i]', 4, '', false))}
    if (op & 0x100) {
      R[13] = a + 4; let to; ${read('to', 4, '', false)} cy += 2; ${branch('to')}
    } else R[13] = a;
    break; }`],                                                                     // POP
  ['1011010', `{ let k = 0; for (let i = 0; i <= 8; i++) if (op & (1 << i)) k++;
    let a = (R[13] - 4 * k) >>> 0; ${each(write('R[i]', 4, false))}
    if (op & 0x100) { ${write('R[14]', 4, false)} }
    R[13] = R[13] - 4 * k; break; }`],                                              // PUSH
  ['1011101000', `{ const x = R[${M}];
    R[${D}] = (x << 24) | ((x & 0xff00) << 8) | ((x >>> 8) & 0xff00) | (x >>> 24); break; }`],
  ['1011101001', `{ const x = R[${M}];
    R[${D}] = ((x & 0x00ff00ff) << 8) | ((x >>> 8) & 0x00ff00ff); break; }`],       // REV16
  ['1011101011', `{ const x = R[${M}]; R[${D}] = ((x << 24) >> 16) | ((x >>> 8) & 0xff); break; }`],
  ['0100000111', shifted('(x >>> (s & 31)) | (x << (-s & 31))', 'if (s) C = r >>> 31;')], // RORS
  ['0100001001', subtract('0', `R[${M}]`, D)],                                      // RSBS
  ['0100000110', `{ const a = R[${D}], b = R[${M}], t = (a >>> 0) - (b >>> 0) - (1 - C), r = t | 0;
    R[${D}] = r; ${nz} ${subtracted} C = t >= 0 ? 1 : 0; break; }`],                // SBCS
  ['11000', `{ const b = ${HIGH}; let a = R[b] >>> 0; ${each(write('R[i]', 4, false))}
    if (!(op & (1 << b))) R[b] = a; break; }`],                                     // STM
  ['01100', store(`R[${M}] + ((${IMM5}) << 2)`, 4)],                                // STR #
  ['10010', store(`R[13] + (${IMM8} << 2)`, 4, HIGH)],                              // STR SP
  ['0101000', store(byRegister, 4)],                                                // STR
  ['01110', store(`R[${M}] + (${IMM5})`, 1)],                                       // STRB #
  ['0101010', store(byRegister, 1)],                                                // STRB
  ['10000', store(`R[${M}] + ((${IMM5}) << 1)`, 2)],                                // STRH #
  ['0101001', store(byRegister, 2)],                                                // STRH
  ['101100001', 'R[13] = R[13] - ((op & 0x7f) << 2); break;'],                      // SUB SP
  ['0001111', subtract(`R[${M}]`, T, D)],                                           // SUBS #3
  ['00111', subtract(`R[${HIGH}]`, IMM8, HIGH)],                                    // SUBS #8
  ['0001101', subtract(`R[${M}]`, `R[${T}]`, D)],                                   // SUBS
  ['1011001001', `R[${D}] = (R[${M}] << 24) >> 24; break;`],                        // SXTB
  ['1011001000', `R[${D}] = (R[${M}] << 16) >> 16; break;`],                        // SXTH
  ['0100001000', `{ const r = R[${D}] & R[${M}]; ${nz} break; }`],                  // TST
  ['1011001011', `R[${D}] = R[${M}] & 0xff; break;`],                               // UXTB
  ['1011001010', `R[${D}] = R[${M}] & 0xffff; break;`],                             // UXTH
  ['11100', 'pc += ((op << 21) >> 20) + 2; cy = 2; break;'],                        // B
  ['010001111', `{ const m = R[${RM}]; R[14] = pc | 1; pc = (m & ~1) >>> 0; cy = 2; break; }`],
  ['010001110', `{ cy = 2; ${branch(`R[${RM}]`)} break; }`],                        // BX
  ['11110', `{ let o; ${fetch('o')}
    if ((o & 0xd000) === 0xd000) {
      const s = (op >> 10) & 1, i1 = 1 ^ s ^ ((o >> 13) & 1), i2 = 1 ^ s ^ ((o >> 11) & 1);
      R[14] = (pc + 2) | 1; cy = 3;
      pc = (pc + 2 + ((s ? -16777216 : 0) | (i1 << 23) | (i2 << 22) | ((op & 0x3ff) << 12)
        | ((o & 0x7ff) << 1))) >>> 0;
    } else if (op === 0xf3bf) { pc += 2; cy = 3; } else ${left}
    break; }`],                                                                     // BL; DMB; MRS
];
// B<condition>: 1101 and then these; 1110 and 1111 are no branches.
const CONDITIONS = [
  'Z', 'Z ^ 1', 'C', 'C ^ 1', 'N', 'N ^ 1', 'V', 'V ^ 1', 'C & (Z ^ 1)', '(C ^ 1) | Z',
  'N ^ V ^ 1', 'N ^ V', '(N ^ V ^ 1) & (Z ^ 1)', '(N ^ V) | Z',
];
CONDITIONS.forEach((condition, i) => INSTRUCTIONS.push([
  '1101' + i.toString(2).padStart(4, '0'),
  `if (${condition}) { pc += ((op << 24) >> 23) + 2; cy = 2; } break;`,
]));

// ---- the loop

const decoded = new Uint8Array(65536);        // the number of its instruction, 0: left to rp2040js
for (let op = 0; op < 65536; op++) {
  const bits = op.toString(2).padStart(16, '0');
  decoded[op] = INSTRUCTIONS.findIndex(([first]) => bits.startsWith(first)) + 1;
}

const LOOP = `
  const { mcu, clock, R, r8, r16, r32, f8, f16, f32, b16 } = self, core = mcu.core;
  let N, Z, C, V, pc, acc = 0, total = 0, n = 0, due, chk;
  ${get} ${alarm} ${updated}
  while (n < limit) {
    if (chk) { ${put} if (core.checkForInterrupts()) core.waiting = false; ${get} ${updated} }
    let op;
    ${fetch('op')}
    let cy = 1;
    const here = pc;
    n++;
    pc += 2;
    switch (decoded[op]) {
      ${INSTRUCTIONS.map(([, code], i) => `case ${i + 1}: ${code}`).join('\n')}
      default: ${left}
    }
    acc += cy;
    total += cy;
    if (acc >= due || core.waiting || self.extraNanos) {
      const ns = acc * 8 + self.extraNanos;
      self.extraNanos = 0;
      acc = 0;
      ${put} clock.tick(ns); ${get}           // an alarm may enter an exception
      ${alarm} ${updated}
      if (core.waiting || self.stop) break;
    }
  }
  ${flush} ${put}
  core.cycles += total;
  return n;`;
const loop = new Function('self', 'limit', 'decoded', LOOP);

export class FastRunner {
  // extraNanos: time that the CPU must stand still.  stop: leave run() at the next instruction.
  constructor(mcu, clock) {
    Object.assign(this, { mcu, clock, extraNanos: 0, stop: false });
    this.R = new Int32Array(mcu.core.registers.buffer);
    for (const [name, { buffer }] of [['r', mcu.sram], ['f', mcu.flash], ['b', mcu.bootrom]]) {
      this[name + 8] = new Uint8Array(buffer);
      this[name + 16] = new Uint16Array(buffer);
      this[name + 32] = new Int32Array(buffer);
    }
  }

  // Executes up to `limit` instructions; returns how many: less when the CPU goes to sleep.
  run(limit) { return loop(this, limit, decoded); }
}
