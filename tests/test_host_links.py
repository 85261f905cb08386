"""Links: the same promises from memory, a network socket, a serial port and a process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import threading

import pytest

from fedboard import DataError
from fedboard_host import links
from fedboard_host.links import LinkError, repl
from fedboard_host.links.memory import MAX_PENDING, Faults, pair
from fedboard_host.links.process import ProcessOpener
from fedboard_host.links.serial import SerialOpener
from fedboard_host.links.tcp import TcpListener, TcpOpener, is_loopback

posix = pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
ALL_BYTES = bytes(range(256))


def run(work, timeout_s=20):
    async def body():
        async with asyncio.timeout(timeout_s):
            return await work

    return asyncio.run(body())


async def read_n(link, n):
    data = b""
    while len(data) < n:
        more = await link.read()
        assert more, f"closed after {len(data)} of {n} bytes"
        data += more
    return data


# An echo at the far end of each kind of link: (link, finish)


@contextlib.asynccontextmanager
async def memory_echo():
    host, board = pair()

    async def echo():
        while data := await board.read():
            await board.write(data)

    task = asyncio.create_task(echo())
    yield host
    task.cancel()


@contextlib.asynccontextmanager
async def tcp_echo():
    ends = []

    def on_link(link):
        async def echo():
            while data := await link.read():
                await link.write(data)
            await link.close()

        ends.append(asyncio.create_task(echo()))

    listener = TcpListener("127.0.0.1", 0, on_link)
    await listener.start()
    link = await TcpOpener("127.0.0.1", listener.port).open()
    yield link
    await link.close()
    await asyncio.gather(*ends)
    await listener.close()


class SocketEcho:
    """What a serial server does, in a thread."""

    def __init__(self):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        connection, _ = self.server.accept()
        with connection:
            while data := connection.recv(4096):
                connection.sendall(data)

    def close(self):
        self.server.close()
        self.thread.join(5)


@contextlib.asynccontextmanager
async def serial_socket_echo():
    echo = SocketEcho()
    link = await SerialOpener(f"socket://127.0.0.1:{echo.port}").open()
    yield link
    await link.close()
    echo.close()


@contextlib.asynccontextmanager
async def serial_loop():
    link = await SerialOpener("loop://").open()
    yield link
    await link.close()


@contextlib.asynccontextmanager
async def serial_pty():
    """A real serial device file, as far as the driver goes."""
    import tty

    master, slave = os.openpty()
    tty.setraw(slave)

    def echo():
        with contextlib.suppress(OSError):
            while data := os.read(master, 4096):
                os.write(master, data)

    thread = threading.Thread(target=echo, daemon=True)
    thread.start()
    link = await SerialOpener(os.ttyname(slave)).open()
    yield link
    await link.close()
    os.close(slave)
    thread.join(5)
    os.close(master)


ECHO = """
import os, sys
while True:
    data = os.read(0, 4096)
    if not data: break
    while data: data = data[os.write(1, data):]
"""


@contextlib.asynccontextmanager
async def process_echo():
    link = await ProcessOpener([sys.executable, "-c", ECHO]).open()
    yield link
    await link.close()


KINDS = [
    memory_echo,
    tcp_echo,
    serial_socket_echo,
    serial_loop,
    pytest.param(serial_pty, marks=posix),
    pytest.param(process_echo, marks=posix),
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_byte_comes_through(kind):
    async def work():
        async with kind() as link:
            for size in (1, 256, 3000):
                data = (ALL_BYTES * 20)[:size]
                await link.write(data)
                assert await read_n(link, size) == data

    run(work())


@pytest.mark.parametrize("kind", KINDS)
def test_close_ends_a_pending_read_and_may_be_called_again(kind):
    async def work():
        async with kind() as link:
            reading = asyncio.create_task(link.read())
            await asyncio.sleep(0.05)
            await link.close()
            assert await reading == b""
            assert await link.read() == b""
            await link.write(b"nobody hears this")
            await link.close()

    run(work())


@pytest.mark.parametrize("kind", KINDS)
def test_a_cancelled_read_loses_nothing(kind):
    async def work():
        async with kind() as link:
            for _ in range(3):
                reading = asyncio.create_task(link.read())
                await asyncio.sleep(0.01)
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
            await link.write(b"hello")
            assert await read_n(link, 5) == b"hello"

    run(work())


# Memory


def test_memory_tells_the_writer_to_wait():
    async def work():
        host, board = pair()
        await host.write(bytes(MAX_PENDING + 1))
        writing = asyncio.create_task(host.write(b"more"))
        await asyncio.sleep(0.01)
        assert not writing.done()
        assert len(await board.read()) == MAX_PENDING + 1
        await writing
        assert await board.read() == b"more"

    run(work())


def test_memory_close_leaves_what_was_sent_and_cut_does_not():
    async def work():
        host, board = pair()
        await host.write(b"bye")
        await host.close()
        assert await board.read() == b"bye"
        assert await board.read() == b""
        host, board = pair()
        await host.write(b"bye")
        host.cut()
        assert await board.read() == b""

    run(work())


def test_faults_are_as_frequent_as_asked_and_the_same_for_a_seed():
    async def through(faults):
        host, board = pair(down=faults)
        out = []
        for i in range(400):
            await host.write(bytes([i & 0xFF]) * 10)
        await host.close()
        while data := await board.read():
            out.append(data)
        return b"".join(out)

    sent = b"".join(bytes([i & 0xFF]) * 10 for i in range(400))
    assert run(through(Faults())) == sent
    lost = run(through(Faults(loss=0.5)))
    assert 1500 < len(lost) < 2500
    assert run(through(Faults(loss=0.5))) == lost
    assert run(through(Faults(seed=2, loss=0.5))) != lost
    spoilt = run(through(Faults(corrupt=0.5)))
    assert 150 < sum(a != b for a, b in zip(spoilt, sent, strict=True)) < 250
    assert 5000 < len(run(through(Faults(duplicate=0.5)))) < 7000
    mixed = run(through(Faults(reorder=0.3)))
    assert mixed != sent
    assert sorted(mixed)[: len(mixed)] == sorted(sent)[: len(mixed)] or len(mixed) < len(sent)


# TCP


def test_tcp_knows_whether_it_is_a_network():
    assert is_loopback("127.0.0.1")
    assert is_loopback("127.8.9.1")
    assert is_loopback("::1")
    assert is_loopback("localhost")
    for address in ("192.168.1.4", "fe80::1%eth0", "0.0.0.0", "laptop.local", "", "?"):
        assert not is_loopback(address)

    async def work():
        async with tcp_echo() as link:
            assert not link.is_network
            assert link.name.startswith("tcp 127.0.0.1:")

    run(work())


def test_a_port_that_is_taken_is_told():
    async def work():
        first = TcpListener("127.0.0.1", 0, lambda link: None)
        await first.start()
        second = TcpListener("127.0.0.1", first.port, lambda link: None)
        with pytest.raises(LinkError, match="Choose another port"):
            await second.start()
        await first.close()
        with pytest.raises(LinkError, match="does not answer"):
            await TcpOpener("127.0.0.1", first.port).open()

    run(work())


def test_a_far_end_that_resets_is_an_end():
    async def work():
        got = []
        listener = TcpListener("127.0.0.1", 0, got.append)
        await listener.start()
        client = socket.create_connection(("127.0.0.1", listener.port))
        while not got:
            await asyncio.sleep(0.01)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        client.close()
        assert await got[0].read() == b""
        await got[0].write(b"x" * 100_000)
        await got[0].close()
        await listener.close()

    run(work())


def test_a_far_end_that_does_not_read_cannot_keep_us():
    async def work():
        got = []
        listener = TcpListener("127.0.0.1", 0, got.append)
        await listener.start()
        client = socket.create_connection(("127.0.0.1", listener.port))
        while not got:
            await asyncio.sleep(0.01)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                while True:
                    await got[0].write(bytes(100_000))
        await got[0].close()
        client.close()
        await listener.close()

    run(work())


# Serial


def test_a_port_that_is_not_there_or_nonsense_is_told():
    async def work():
        with pytest.raises(LinkError, match="is not there: is the board plugged in"):
            await SerialOpener("/dev/no-such-port").open()
        with pytest.raises(LinkError, match="cannot be opened"):
            await SerialOpener("nonsense://x").open()
        with pytest.raises(LinkError):
            await SerialOpener("socket://127.0.0.1:1").open()

    run(work())


@posix
def test_a_port_that_is_in_use_is_told():
    async def work():
        async with serial_pty() as link:
            with pytest.raises(LinkError, match=r"in use by Thonny, mpremote"):
                await SerialOpener(link.name).open()

    run(work())


@pytest.mark.parametrize("opens", [True, False])
def test_an_opening_that_is_given_up_holds_nobody_up(monkeypatch, opens):
    """Not the end of the loop either; a port that opens after all is closed."""
    begun, may_end, closed = threading.Event(), threading.Event(), threading.Event()

    class Port:
        close = closed.set

    def slow(self):
        begun.set()
        may_end.wait(60)
        if opens:
            return Port()
        raise LinkError("nobody there")

    monkeypatch.setattr(SerialOpener, "_open", slow)

    async def work():
        task = asyncio.create_task(SerialOpener("socket://pi:4000").open())
        await asyncio.to_thread(begun.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(work())
    (thread,) = [t for t in threading.enumerate() if t.name == "serial-open"]
    assert not closed.is_set()
    may_end.set()
    thread.join()
    assert closed.is_set() == opens


def test_a_serial_server_elsewhere_is_a_network():
    assert SerialOpener("socket://192.168.1.7:4000")._is_network
    assert SerialOpener("rfc2217://pi.local:4000")._is_network
    assert not SerialOpener("socket://localhost:4000")._is_network
    assert not SerialOpener("loop://")._is_network
    assert not SerialOpener("COM5")._is_network


def test_an_unplugged_port_is_an_end():
    async def work():
        async with serial_socket_echo() as link:
            link._port._socket.shutdown(socket.SHUT_RDWR)
            assert await link.read() == b""

    run(work())


# Processes


@posix
def test_a_process_that_ends_is_an_end_and_its_last_words_are_known():
    async def work():
        code = "import sys; sys.stdout.write('text'); sys.stdout.flush(); raise SystemExit('oh no')"
        link = await ProcessOpener([sys.executable, "-c", code]).open()
        assert await link.read() == b"text"
        assert await link.read() == b""
        await link.close()
        assert link.last_words() == "oh no"

    run(work())


@posix
def test_a_process_that_ignores_the_request_is_ended_anyway():
    async def work():
        code = (
            "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "sys.stdout.write('up'); sys.stdout.flush(); signal.pause(); signal.pause()"
        )
        link = await ProcessOpener([sys.executable, "-c", code]).open()
        assert await link.read() == b"up"
        await link.close()
        assert link.process.returncode == -9

    run(work())


@posix
def test_the_terminal_is_raw():
    async def work():
        code = "import os\nwhile True: os.write(1, os.read(0, 999).hex().encode() + b';')"
        link = await ProcessOpener([sys.executable, "-c", code]).open()
        await link.write(b"\x03\r\n\x04\x11\x13\x1a\x7f")
        assert await read_n(link, 17) == b"030d0a0411131a7f;"
        await link.close()

    run(work())


@posix
def test_a_program_that_is_not_there_is_told():
    with pytest.raises(LinkError, match="cannot start no-such-program"):
        run(ProcessOpener(["no-such-program"]).open())


def test_without_pseudo_terminals_it_says_what_to_use_instead(monkeypatch):
    monkeypatch.setattr("fedboard_host.links.process._POSIX", False)
    with pytest.raises(LinkError, match="use in-memory virtual boards"):
        run(ProcessOpener(["x"]).open())


# Addresses


def test_parse():
    assert links.parse("serial:/dev/ttyACM0").name == "/dev/ttyACM0"
    assert links.parse("COM5").name == "COM5"
    assert links.parse("socket://localhost:4000").name == "socket://localhost:4000"
    opener = links.parse('process:micropython "a b.py" --config x')
    assert opener.name == "process micropython"
    assert opener._command == ["micropython", "a b.py", "--config", "x"]
    for bad in ("", "serial:", "process:", "process:  "):
        with pytest.raises(DataError, match="needs a"):
            links.parse(bad)


# The raw REPL: a board at its prompt


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
                    await self.end.write(
                        b"OK\r\nMPY: soft reboot\r\nraw REPL; CTRL-B to exit\r\n>"
                    )
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


def start(program, deaf=False):
    async def work():
        host, end = pair("port")
        board = FakeBoard(end, program, deaf)
        task = asyncio.create_task(board.run())
        said = await repl.start_program(host, timeout_s=0.5)
        task.cancel()
        return said, board

    return run(work())


def test_a_board_at_its_prompt_is_started():
    said, board = start(lambda code: None)
    assert said == ""
    assert board.code == repl.CODE
    assert board.n_resets == 1


def test_a_board_without_fedboard():
    error = b"Traceback (most recent call last):\r\nImportError: no module named 'fedboard_device'"
    said, _ = start(lambda code: error)
    assert "fedboard is not on the board on port" in said
    assert "run `fedboard deploy`" in said


def test_a_program_that_fails_at_once():
    said, _ = start(lambda code: b"Traceback:\r\nMemoryError: oh")
    assert said == "fedboard does not start on the board on port: MemoryError: oh"


def test_something_that_is_no_board():
    said, _ = start(lambda code: None, deaf=True)
    assert "no MicroPython prompt on port" in said


def test_the_code_is_what_main_py_does():
    from fedboard_host.paths import device_dir

    main = (device_dir() / "main.py").read_text()
    for line in repl.CODE.decode().splitlines():
        assert line.strip() in main
