"""A board at MicroPython's prompt, for tests: as far as links.repl uses it."""

from __future__ import annotations


class FakeBoard:
    """MicroPython's prompt as far as repl uses it. program(code) -> what it says; None: runs on."""

    def __init__(self, end, program, deaf=False):
        self.end = end
        self.program = program
        self.deaf = deaf
        self.code = None
        self.n_resets = 0

    async def run(self):
        raw = False
        code = b""
        await self.end.write(b"MicroPython v1.99\r\n>>> ")
        while data := await self.end.read():
            if self.deaf:
                await self.end.write(data)
                continue
            for byte in data:
                if byte == 0x01:
                    raw, code = True, b""
                    await self.end.write(b"raw REPL; CTRL-B to exit\r\n>")
                elif byte == 0x03:
                    code = b""
                    await self.end.write(b"\r\nKeyboardInterrupt\r\n>>> ")
                elif byte == 0x04 and raw and not code:
                    self.n_resets += 1
                    await self.end.write(b"OK\r\nMPY: soft reboot\r\nraw REPL; CTRL-B to exit\r\n>")
                elif byte == 0x04 and raw:
                    self.code = code
                    await self.end.write(b"OK")
                    said = self.program(code)
                    if said is None:
                        await self.end.write(b"\x7eframes\x7e")
                    else:
                        await self.end.write(b"\x04" + said + b"\x04>")
                elif raw:
                    code += bytes([byte])
