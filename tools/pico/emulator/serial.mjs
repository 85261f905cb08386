// The host's end of the board's USB serial: a pty's master, or a TCP port for socket://.
//
// Each calls onOpen(open) as a program opens or closes the port, onData(bytes) as it sends, and has
// send(bytes), pause(flag).  What nobody takes is dropped beyond LIMIT: a board never waits for it.

import fs from 'fs';
import net from 'net';

const LIMIT = 1 << 18;
const CLOSED_MS = 20, OPEN_MS = 5;

// A master reads EIO at once while no program has the slave open; else it waits for data.
export class Pty {
  constructor(fd, { onOpen, onData }) {
    Object.assign(this, { fd, onOpen, onData, open: false, paused: false });
    this.buffer = Buffer.alloc(4096);
    this.queue = [];
    this.nQueued = 0;
    this.writing = false;
    this.read();
  }

  read() {
    const opened = setTimeout(() => this.set(true), OPEN_MS);
    fs.read(this.fd, this.buffer, 0, this.buffer.length, null, (error, n) => {
      clearTimeout(opened);
      if (error && error.code !== 'EAGAIN') {
        this.set(false);
        return setTimeout(() => this.read(), CLOSED_MS);
      }
      this.set(true);
      if (n) this.onData(new Uint8Array(this.buffer.subarray(0, n)));
      this.next();
    });
  }
  next() { this.paused ? setTimeout(() => this.next(), 1) : this.read(); }
  pause(flag) { this.paused = flag; }

  set(open) {
    if (this.open === open) return;
    this.open = open;
    this.queue = [];
    this.nQueued = 0;
    this.onOpen(open);
  }

  send(bytes) {
    if (!this.open || this.nQueued > LIMIT) return;
    this.queue.push(Buffer.from(bytes));
    this.nQueued += bytes.length;
    this.write();
  }

  write() {
    if (this.writing || !this.queue.length) return;
    this.writing = true;
    const bytes = Buffer.concat(this.queue);
    this.queue = [];
    fs.write(this.fd, bytes, 0, bytes.length, null, (error, n) => {
      this.writing = false;
      if (error && error.code !== 'EAGAIN') return;   // the program is gone, and so are they
      const rest = bytes.subarray(n ?? 0);
      this.nQueued -= bytes.length - rest.length;
      if (rest.length) this.queue.unshift(rest);
      if (error || rest.length) setTimeout(() => this.write(), 1); else this.write();
    });
  }
}

// One program at a time, as with a serial port.
export class Tcp {
  constructor(port, { onOpen, onData, onListen }) {
    this.client = null;
    const server = net.createServer(socket => {
      if (this.client) return socket.destroy();
      this.client = socket;
      socket.setNoDelay(true);
      socket.on('data', bytes => onData(new Uint8Array(bytes)));
      socket.on('error', () => {});
      socket.on('close', () => { this.client = null; onOpen(false); });
      onOpen(true);
    });
    server.listen(port, '127.0.0.1', () => onListen(server.address().port));
  }
  pause(flag) { if (this.client) flag ? this.client.pause() : this.client.resume(); }
  send(bytes) {
    if (this.client && this.client.writableLength < LIMIT) this.client.write(Buffer.from(bytes));
  }
}
