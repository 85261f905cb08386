"""Frames longer than 256 bytes, for boards that say that they take them; on a bad line, too."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import device_lab as lab
from fedboard import WireError, messages, model, wire
from fedboard.base import MemoryBase
from fedboard.hub import LONGEST_FRAME, Joined
from fedboard.node import Identity, Node
from fedboard.rebase import Rebase
from fedboard_device import console as consoles
from test_session import KEY, MODEL, Wire, entropy, is_joined, make_hub, status

FRAME = 2048


def make_node(frame=FRAME):
    def say():
        said = status()
        said.frame = frame
        return said

    return Node(Identity("kitchen", b"uid", 3, frame), KEY, entropy(1), say)


class Lengths:
    """A line that notes how long its frames are; `spoil` may change them."""

    def __init__(self, spoil=bytes):
        self.spoil = spoil
        self.seen = []

    def __call__(self, data):
        self.seen += [len(body) + 2 for body in data.split(wire.FLAG) if body]
        return self.spoil(data)


def ended(line):
    return any(isinstance(e, messages.End) for e in line.node_events)


def send_model(line, data=MODEL):
    line.hub.transfer(messages.Begin(what=messages.MODEL, n_bytes=len(data)), [data])


def model_of(events):
    """As a board puts it together: what is there already is passed over."""
    data = b""
    for event in events:
        if isinstance(event, messages.Chunk):
            assert event.offset <= len(data)
            data += bytes(event.data)[len(data) - event.offset :]
    return data


@pytest.mark.parametrize(
    ("said", "longest"),
    [(0, wire.MAX_FRAME), (10, wire.MAX_FRAME), (FRAME, FRAME), (65535, LONGEST_FRAME)],
)
def test_frames_are_as_long_as_the_board_says(said, longest):
    down = Lengths()
    line = Wire(make_hub(), make_node(said), down)
    line.run(is_joined)
    send_model(line)
    line.run(ended)
    assert model_of(line.node_events) == MODEL
    assert longest - 64 < max(down.seen) <= longest
    chunks = [e for e in line.node_events if isinstance(e, messages.Chunk)]
    assert not any(chunk.offset & 1 for chunk in chunks), "a board would have to join halves"


def test_a_board_sends_short_frames():
    up = Lengths()
    line = Wire(make_hub(), make_node(), up=up)
    line.run(is_joined)
    line.node.transfer(messages.Begin(what=messages.UPDATE), [MODEL])
    line.run(lambda x: len(x.hub_events) == 2)
    assert line.hub_events[1].data == MODEL
    assert max(up.seen) <= wire.MAX_FRAME


def test_a_line_that_gets_noisy_gets_short_frames_and_the_model():
    """1 % of the bytes are damaged: of the frames of 2048 none ever comes through."""
    rng = random.Random(4)

    def spoil(data):
        return bytes(b ^ rng.randrange(1, 256) if rng.random() < 0.01 else b for b in data)

    down = Lengths()
    line = Wire(make_hub(), make_node(), down)
    line.run(is_joined)
    down.spoil = spoil
    send_model(line)
    line.hub.send(messages.Ping(token=7))
    line.run(ended)
    assert model_of(line.node_events) == MODEL
    assert max(down.seen) > 1000
    assert max(down.seen[-20:]) <= wire.MAX_FRAME
    down.spoil = bytes
    down.seen.clear()
    send_model(line, 9 * MODEL)
    line.run(lambda x: sum(isinstance(e, messages.End) for e in x.node_events) == 2)
    assert max(down.seen) > 1000, "a line that is well again gets long frames again"


def test_a_busy_board_is_no_noisy_line():
    down = Lengths()
    line = Wire(make_hub(), make_node(), down)
    line.run(is_joined)
    send_model(line)
    line.hub.outgoing(line.now_ms)  # lost, as a board may be busy for half a second
    line.now_ms += 500
    line.run(ended)
    assert model_of(line.node_events) == MODEL
    assert min(down.seen[-3:-1]) > 300


def test_chunks_are_cut_anew_although_they_came():
    """Only the word of it was lost: the board gets much of them twice, and END once."""
    line = Wire(make_hub(), make_node())
    line.run(is_joined)
    send_model(line)
    line.up = lambda data: b""
    line.run(lambda x: x.now_ms > 8000)
    line.up = bytes
    line.run(ended)
    chunks = [e for e in line.node_events if isinstance(e, messages.Chunk)]
    assert sum(len(chunk.data) for chunk in chunks) > len(MODEL)
    assert model_of(line.node_events) == MODEL


def test_a_silent_board_gets_long_frames_when_it_is_back():
    """No chunk was under way: none is to blame."""
    down = Lengths()
    line = Wire(make_hub(), make_node(), down, up=lambda data: b"" if line.hub.joined else data)
    line.run(is_joined)
    line.hub.send(messages.Ping(token=1))
    line.run(lambda x: x.now_ms > 8000)
    line.up = bytes
    line.run(lambda x: x.hub.channel.idle)
    down.seen.clear()
    send_model(line)
    line.run(ended)
    assert model_of(line.node_events) == MODEL
    assert max(down.seen) > 1900


class SlowBoard:
    """A board that needs 0.6 ms for each byte of a model, and says nothing meanwhile."""

    def __init__(self, node):
        self.node = node
        self.pipe = b""  # what its USB buffers and the host's hold
        self.free_ms = 0
        self.n_down = 0

    def down(self, data):
        self.n_down += len(data)
        self.pipe += data
        return b""

    def turn(self, now_ms):
        """A frame, if it has time: the events, and what it says."""
        end = self.pipe.find(wire.FLAG, 1) + 1
        if now_ms < self.free_ms:
            return [], b""
        events = self.node.receive(self.pipe[:end], now_ms)
        self.pipe = self.pipe[end:]
        n = sum(len(e.data) for e in events if isinstance(e, messages.Chunk))
        self.free_ms = now_ms + 6 * n // 10
        return events, self.node.outgoing(now_ms)


@pytest.mark.parametrize("frame", [0, 1280, FRAME])
def test_a_slow_board_gets_all_once(frame):
    board = SlowBoard(make_node(frame))
    hub = make_hub()
    hub.open(0)
    data = random.Random(3).randbytes(20_000)
    events = []
    said = []  # (when it is done with the frame before, what it says)
    for now_ms in range(0, 60_000, 10):
        board.down(hub.outgoing(now_ms))
        came, out = board.turn(now_ms)
        events += came
        said.append((board.free_ms, out))
        while said and said[0][0] <= now_ms:
            hub.receive(said.pop(0)[1], now_ms)
        if hub.joined and not board.pipe and not hub.transferring and not events[1:]:
            board.n_down = 0
            hub.transfer(messages.Begin(what=messages.MODEL, n_bytes=len(data)), [data])
        if any(isinstance(e, messages.End) for e in events):
            break
    assert model_of(events) == data
    assert hub.channel.n_repeated == 0
    assert board.n_down < 1.3 * len(data)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.floats(0, 0.6), st.floats(0, 0.6), st.floats(0, 0.003))
def test_whatever_is_lost_all_arrives_once_and_in_order(seed, p_down, p_up, p_byte):
    rng = random.Random(seed)

    def bad(p_lost):
        def line(data):
            if data and rng.random() < p_lost:
                return b""
            return bytes(b ^ 1 << rng.randrange(8) if rng.random() < p_byte else b for b in data)

        return line

    line = Wire(make_hub(), make_node())
    line.run(is_joined)
    line.down, line.up = bad(p_down), bad(p_up)
    for number in range(3):
        line.hub.send(messages.Task(round=number))
        send_model(line, MODEL)
        line.run(lambda x: x.now_ms > 2000 * (number + 1) or ended(x))  # noqa: B023
        line.hub.send(messages.Refused(round=number))  # amid the chunks, or behind END
    line.down = line.up = bytes
    line.run(lambda x: ended(x) and x.hub.channel.idle and not x.hub.transferring)
    tasks = [e.round for e in line.node_events if isinstance(e, messages.Task)]
    refused = [e.round for e in line.node_events if isinstance(e, messages.Refused)]
    assert tasks == refused == [0, 1, 2]
    last = max(i for i, e in enumerate(line.node_events) if isinstance(e, messages.Begin))
    assert model_of(line.node_events[last:]) == MODEL


class OnceOnly(lab.Host):
    """A host that never repeats anything, as time stands still for it once a board has joined."""

    stopped_ms = 0

    def now_ms(self):
        return self.stopped_ms or super().now_ms()


def test_a_board_never_waits_for_what_waits_for_its_word(micropython, tmp_path):
    """END waits until all chunks are acknowledged, also the last few."""
    pytest.importorskip("pty", reason="its console is a pty")
    lab.write_samples(tmp_path / "data", lab.make_samples(4))
    with lab.Process(micropython, tmp_path, {}) as board:
        host = OnceOnly(board.stream)
        host.until(Joined)
        host.stopped_ms = host.now_ms()
        for number, n_hidden in enumerate((4, 30, 60, 90, 120), 1):  # 1 to 5 chunks
            spec = model.Spec((16, n_hidden, 4))
            params = lab.start_params(spec)
            host.round(lab.make_task(params, number, spec, epochs=1), params)
    assert host.hub.channel.frame == FRAME


def test_a_board_passes_over_what_it_has_and_misses_nothing():
    spec = model.Spec((16, 12, 4))
    params = model.new_params(spec)
    model.init_params(spec, params)
    data = bytes(params)
    base = MemoryBase()

    def begin():
        return Rebase(
            spec, model.new_params(spec), base, 0, b"", len(data), 1, spec.digest(params), False
        )

    taken = begin()
    for at, end in ((0, 300), (0, 96), (96, 192), (192, 301), (250, len(data)), (290, 299)):
        taken.take(at, data[at:end])
    taken.finish()
    assert base.digest == spec.digest(params)
    taken = begin()
    taken.take(0, data[:100])
    with pytest.raises(WireError, match="missing"):
        taken.take(101, data[101:200])


class Trickle:
    """A board's stdin. A read waits for all that it asks for: meanwhile the next host knocks."""

    KNOCK = wire.pack(messages.Knock.KIND, 0, 0, wire.FROM_HUB, 0, b"\x01")

    def __init__(self):
        self.data = b""
        self.n_knocks = 0

    def knock(self):
        self.n_knocks += 1
        self.data += self.KNOCK

    def ipoll(self, timeout_ms):
        return [0] if self.data else []

    def readinto(self, buffer):
        while len(self.data) < len(buffer):
            self.knock()
        buffer[:] = self.data[: len(buffer)]
        self.data = self.data[len(buffer) :]
        return len(buffer)


@pytest.mark.parametrize("steady", [False, True])
@pytest.mark.parametrize("n_cut", [3, 15, 40, 1400])
def test_a_board_hears_the_next_host_when_one_stopped_amid_a_chunk(n_cut, steady):
    console = consoles.Console()
    console._view = memoryview(bytearray(FRAME))
    stdin = console._in = console._poll = Trickle()
    decoder = wire.Decoder(FRAME)

    def heard(data):
        stdin.data += data
        found = []
        while came := console._read_each():
            found += [bytes(body) for body in decoder.feed(came)]
        return found

    chunk = wire.pack(messages.Chunk.KIND, 0, 0, wire.FROM_HUB, 1, bytes(1500), None, FRAME)
    assert heard(chunk) == [chunk[1:-1]]
    console.steady = steady
    found = heard(chunk[:n_cut])
    while stdin.KNOCK[1:-1] not in found:
        stdin.knock()
        found = heard(b"")
    assert stdin.n_knocks <= 2 + consoles.PIECE_BYTES // len(stdin.KNOCK)
    assert heard(chunk)[-1] == chunk[1:-1]


def test_nobody_waits_for_the_rest_of_a_damaged_welcome():
    """A byte of its header is lost, so that it seems to be long; the host waits for the board."""
    console = consoles.Console()
    console._view = memoryview(bytearray(FRAME))
    stdin = console._in = console._poll = Trickle()
    welcome = wire.pack(messages.Welcome.KIND, 0, 0, wire.FROM_HUB, 0, bytes((2, 16)) * 14)
    stdin.data = welcome[:8] + welcome[9:]
    while console._read_each():
        pass
    assert stdin.n_knocks == 0
