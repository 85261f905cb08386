"""A board at its serial prompt, through mpremote's transport: the only module that knows mpremote.

mpremote says that its API will change; what is used of it is here, and small: enter_raw_repl, exec,
fs_writefile, close. Programs that run on the board are short, and say what they found as text.
"""

from __future__ import annotations

import ast
import contextlib
import struct
import time
from typing import Any

import serial

from fedboard_host.deploy import DeployError, Firmware, Target
from fedboard_host.links.serial import explain, keep_lines

_TIMEOUT_S = 20.0
_RESET_S = 20.0
_CHUNK = 512  # bytes of a file in one program: the board compiles it
_ASK = """\
import sys
i = sys.implementation
try:
 import machine
 u = machine.unique_id()
except Exception:
 try:
  import microcontroller
  u = microcontroller.cpu.uid
 except Exception:
  u = b''
print(repr((i.name, tuple(i.version[:3]), sys.platform, getattr(i, '_mpy', 0), bytes(u))))
"""
_HASHES = """\
import os, hashlib
from binascii import hexlify
b = bytearray(512)
v = memoryview(b)
def h(p):
 s = hashlib.sha256() if hasattr(hashlib, 'sha256') else hashlib.new('sha256')
 with open(p, 'rb') as f:
  while 1:
   n = f.readinto(b)
   if not n:
    break
   s.update(v[:n])
 print(repr((p, hexlify(s.digest()).decode())))
def w(p):
 try:
  d = os.stat(p)[0] & 0x4000
 except OSError:
  return
 if not d:
  return h(p)
 for n in os.listdir(p):
  w(p + '/' + n)
for p in {paths}:
 w('/' + p)
del b, v
"""
_READ = """\
try:
 with open({path}, 'rb') as f:
  while 1:
   d = f.read(128)
   if not d:
    break
   print(repr(d))
except OSError:
 pass
"""
_REMOVE = """\
import os
os.remove({path})
try:
 os.rmdir({folder})
except OSError:
 pass
"""
_MAKE = """\
import os
p = ''
for n in {folder}.split('/'):
 p += '/' + n
 try:
  os.mkdir(p)
 except OSError:
  pass
"""
_RESET = "import time, machine; time.sleep_ms(100); machine.reset()"
_RESET_CIRCUITPYTHON = "import microcontroller; microcontroller.reset()"


class ReplBoard(Target):
    """Opens the port, stops what runs there, and asks what it is. Raises DeployError."""

    def __init__(self, port: str) -> None:
        self.name = port
        self._transport = _open(port)
        try:
            self._enter()
            name, version, platform, mpy, uid = self._ask(_ASK)[0]
        except BaseException:
            self.close()
            raise
        self.firmware = Firmware(name, version, platform, mpy, uid.hex())
        if name == "circuitpython":
            self.starts = "code.py"

    def hashes(self, paths: list[str]) -> dict[str, str]:
        found = self._ask(_HASHES.format(paths=repr(paths)))
        return {path[1:]: sha256 for path, sha256 in found}

    def read(self, path: str) -> bytes:
        return b"".join(self._ask(_READ.format(path=repr("/" + path))))

    def write(self, path: str, data: bytes) -> None:
        folder = path.rpartition("/")[0]
        if folder:
            self._run(_MAKE.format(folder=repr(folder)))
        with self._errors(path):
            self._transport.fs_writefile("/" + path, data, _CHUNK)

    def rename(self, old: str, new: str) -> None:
        self._run(f"import os\nos.rename({('/' + old)!r}, {('/' + new)!r})")

    def remove(self, path: str) -> None:
        folder = "/" + path.rpartition("/")[0]
        self._run(_REMOVE.format(path=repr("/" + path), folder=repr(folder)))

    def free_bytes(self) -> int:
        (found,) = self._ask("import os; s = os.statvfs('/'); print(max(0, s[0] * s[3]))")
        return int(found)

    def reset(self) -> None:
        self.restart()
        end_s = time.monotonic() + _RESET_S
        while True:
            time.sleep(0.5)  # a board with USB of its own vanishes for a moment
            try:
                self._transport = _open(self.name)
                self._enter()
                return
            except DeployError:
                self.close()
                if time.monotonic() > end_s:
                    raise

    def restart(self) -> None:
        is_circuit = self.firmware.runtime == "circuitpython"
        with self._errors():
            self._transport.exec_raw_no_follow(_RESET_CIRCUITPYTHON if is_circuit else _RESET)
        time.sleep(0.05)  # until the program is on its way
        self.close()

    def close(self) -> None:
        port = getattr(self._transport, "serial", None)
        with contextlib.suppress(OSError, serial.SerialException):
            if port is not None:
                keep_lines(port)
            self._transport.close()

    def _enter(self) -> None:
        """The raw REPL after a soft reset: nothing of the old program stays in memory."""
        transport = self._transport
        with self._errors():
            transport.serial.write(b"\r\x03\x03\r\x01")
            said = transport.read_until(1, b"raw REPL; CTRL-B to exit\r\n>", timeout=3)
            if not said.endswith(b">"):
                raise DeployError(_no_prompt(self.name, said))
            transport.enter_raw_repl(soft_reset=True)

    def _run(self, program: str) -> bytes:
        with self._errors():
            return bytes(self._transport.exec(program))

    def _ask(self, program: str) -> list[Any]:
        """What the program printed, one Python value a line."""
        return [ast.literal_eval(line) for line in self._run(program).decode().splitlines()]

    @contextlib.contextmanager
    def _errors(self, path: str = "") -> Any:
        """mpremote's errors, and the board's, as DeployError."""
        from mpremote.transport import TransportError, TransportExecError

        try:
            yield
        except TransportExecError as error:
            raise DeployError(_board_error(self.name, path, str(error.error_output))) from None
        except (serial.SerialException, TransportError, struct.error, EOFError) as error:
            raise DeployError(
                f"{self.name}: the board stopped answering ({error}): plug it in again, then deploy"
            ) from None
        except OSError as error:
            raise DeployError(_board_error(self.name, path, f"OSError: {error}")) from None


def _open(port: str) -> Any:
    from mpremote.transport import TransportError
    from mpremote.transport_serial import SerialTransport

    try:
        # mpremote swallows the reason why a port does not open, so it is asked for first.
        serial.serial_for_url(port, exclusive=None if "://" in port else True).close()
        return SerialTransport(port, timeout=_TIMEOUT_S)
    except (OSError, ValueError, serial.SerialException, TransportError) as error:
        raise DeployError(explain(port, error)) from None


def _no_prompt(port: str, said: bytes) -> str:
    heard = said[-40:].decode("ascii", "replace").strip()
    return (
        f"{port}: no MicroPython prompt"
        + (f" (it says {heard!r})" if heard else "")
        + ". Is it the right port, and stock MicroPython on the board? For a Pico: hold BOOTSEL "
        "while plugging it in, and copy the firmware's .uf2 file onto the drive that appears"
    )


def _board_error(port: str, path: str, text: str) -> str:
    last = text.strip().splitlines()[-1] if text.strip() else "no reason given"
    where = f"{port}: {path + ': ' if path else ''}"
    if "28" in last or "ENOSPC" in last:
        return where + "its flash is full: remove files of yours (mpremote rm), or use --mpy"
    if "30" in last or "EROFS" in last or "read-only" in last.lower():
        return (
            where + "the board cannot write, its drive belongs to the computer: name the drive "
            "(fedboard deploy /path/to/CIRCUITPY)"
        )
    return f"{where}the board answers {last}"
