"""Any order of events: Node and Hub on a bad line; boards and a host that are reset at any time."""

from __future__ import annotations

import random
from array import array

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from board_world import Samples
from fedboard import delta, messages, wire
from fedboard.base import MemoryBase
from fedboard.board import Board
from fedboard.delta import encode_delta
from fedboard.hub import Hub, Joined, Update
from fedboard.model import Spec, init_params, new_params
from fedboard.node import Identity, Node, Opened
from fedboard_host.means import MeanMerger

KEY = b"k" * 32
UP, DOWN = "up", "down"
FAULTS = ("lose", "double", "swap", "flip", "noise", "replay")
ways = st.sampled_from([UP, DOWN])


class Line(RuleBasedStateMachine):
    """A session on a line that does whatever a line or, if there is a key, an attacker can do.

    Messages carry a number and the serial of their sender's session. Whatever happens, a side has
    heard a prefix of what the other said in one session; on a line that is well again, all of it.
    """

    @initialize(seed=st.integers(0, 2**32), key=st.sampled_from([KEY, None]))
    def begin(self, seed, key):
        self.key = key
        self.rng = random.Random(seed)
        self.now_ms = 0
        self.flight = {UP: [], DOWN: []}
        self.past = {UP: [], DOWN: []}  # all that ever was on the line
        self.said = {UP: {}, DOWN: {}}  # session's serial -> what was said in it
        self.heard = {UP: [], DOWN: []}  # in the present session of the hearer
        self.serial = {UP: 0, DOWN: 0}
        self.n = 0
        self.came_round = False
        self.hub = self.node = None
        self.restart(UP)
        self.restart(DOWN)
        self.go_on(5, set(), True)

    @rule(way=ways)
    def restart(self, way):
        """The speaker of this way starts anew: a reset board, a killed host."""
        if way == UP:
            self.node = Node(Identity("b", b"u", 2), self.key, self.rng.randbytes, messages.Status)
            self.node.open(self.now_ms)
        else:
            self.hub = Hub(self.key, self.rng.randbytes)
            self.hub.open(self.now_ms)

    @rule()
    def relink(self):
        self.flight = {UP: [], DOWN: []}
        self.node.open(self.now_ms)
        self.hub.open(self.now_ms)

    @rule(ms=st.sampled_from([1, 20, 300, 1000, 6000]))
    def wait(self, ms):
        self.now_ms += ms

    @rule(way=ways)
    def write(self, way):
        data = (self.node if way == UP else self.hub).outgoing(self.now_ms)
        for frame in filter(None, data.split(wire.FLAG)):  # faults meet frames one by one
            self.flight[way].append(wire.FLAG + frame + wire.FLAG)
            self.past[way].append(self.flight[way][-1])

    @rule(way=ways)
    def say(self, way):
        peer = self.node if way == UP else self.hub
        if not (peer.channel.open if way == UP else peer.joined):
            return
        self.n += 1
        if way == UP:
            peer.send(messages.Progress(round=self.n, total=self.serial[UP]))
        else:
            peer.send(messages.Task(round=self.n, run=self.serial[DOWN]))
        self.said[way].setdefault(self.serial[way], []).append(self.n)

    @rule(way=ways, size=st.integers(1, 400))
    def deliver(self, way, size):
        """The first bytes of what is on the way."""
        if self.flight[way]:
            data = self.flight[way].pop(0)
            if data[size:]:
                self.flight[way].insert(0, data[size:])
            self.take(way, data[:size])

    @rule(turns=st.integers(1, 30), faults=st.sets(st.sampled_from(FAULTS), max_size=3),
          talkative=st.booleans())  # fmt: skip
    def go_on(self, turns, faults, talkative):
        """Both speak and hear for a while; the faults come now and then."""
        for _ in range(turns):
            self.now_ms += 20
            for way in (DOWN, UP):
                if talkative:
                    self.say(way)
                self.write(way)
                for fault in sorted(faults):
                    if self.rng.random() < 0.2:
                        self.spoil(way, fault, self.rng.randrange(10_000))
                for _ in range(min(2, len(self.flight[way]))):
                    self.take(way, self.flight[way].pop(0))

    @precondition(lambda self: self.hub.joined and self.node.channel.open and not self.came_round)
    @rule(way=ways)
    def let_numbers_come_round(self, way):
        """Sequence numbers come again after 256 messages: then old ones once more, in order.

        Tag and number are right, and only the counter tells. Once an example, as it takes long.
        """
        self.came_round = True
        start = len(self.past[way])
        self.go_on(262, set(), True)
        for data in self.past[way][start : start + 24]:
            self.take(way, data)

    def take(self, way, data):
        if way == DOWN:
            for event in self.node.receive(data, self.now_ms):
                if isinstance(event, Opened):
                    self.serial[UP] += 1
                    self.heard[DOWN] = []
                elif isinstance(event, messages.Task):
                    self.heard[DOWN].append((event.run, event.round))
        else:
            for event in self.hub.receive(data, self.now_ms):
                if isinstance(event, Joined):
                    self.serial[DOWN] += 1
                    self.heard[UP] = []
                elif isinstance(event, messages.Progress):
                    self.heard[UP].append((event.total, event.round))

    @rule(way=ways, fault=st.sampled_from(FAULTS),
          where=st.integers(0, 10_000))  # fmt: skip
    def spoil(self, way, fault, where):
        flight = self.flight[way]
        if fault == "replay" and self.past[way]:
            flight.insert(0, self.past[way][where % len(self.past[way])])
        elif fault == "noise":
            flight.insert(0, random.Random(where).randbytes(where % 300))
        elif flight and fault == "lose":
            flight.pop(where % len(flight))
        elif flight and fault == "double":
            flight.append(flight[where % len(flight)])
        elif flight and fault == "swap":
            flight.append(flight.pop(0))
        elif flight and fault == "flip":
            data = bytearray(flight[0])
            data[where % len(data)] ^= 1 << where % 8
            flight[0] = bytes(data)

    @precondition(lambda self: self.key)
    @rule(way=ways, seq=st.integers(0, 20), counter=st.integers(1, 400), tagged=st.booleans())
    def forge(self, way, seq, counter, tagged):
        """An attacker without the key makes up a frame; often it is the one that is due."""
        hearer = self.hub if way == UP else self.node
        if hearer.channel.open:
            counter += hearer.channel._rx_counter
            seq = hearer.channel._rx_next if seq > 9 else seq
        message = messages.Progress(round=77) if way == UP else messages.Task(round=77)
        flags = wire.FROM_HUB if way == DOWN else 0
        sign = (lambda data: b"12345678") if tagged else None
        bond = hearer.channel.bond
        data = wire.pack(message.KIND, seq, 0, flags, counter, message.pack(), sign, bond=bond)
        self.flight[way].insert(0, data)

    @invariant()
    def each_has_heard_a_prefix_of_one_session(self):
        for way in (UP, DOWN) if self.hub else ():
            serials = {serial for serial, _ in self.heard[way]}
            assert len(serials) <= 1
            for serial in serials:
                numbers = [n for _, n in self.heard[way]]
                assert numbers == self.said[way].get(serial, [])[: len(numbers)]

    def teardown(self):
        """The line is well again: all is heard."""
        if self.hub is None:
            return
        self.relink()
        for _ in range(400):
            self.now_ms += 50
            self.take(DOWN, self.hub.outgoing(self.now_ms))
            self.take(UP, self.node.outgoing(self.now_ms))
        assert self.hub.joined
        self.say(UP)
        self.say(DOWN)
        for _ in range(100):
            self.now_ms += 50
            self.take(DOWN, self.hub.outgoing(self.now_ms))
            self.take(UP, self.node.outgoing(self.now_ms))
        for way in (UP, DOWN):
            numbers = [n for _, n in self.heard[way]]
            assert numbers == self.said[way][self.serial[way]]


SPEC = Spec((12, 5, 4), "fedboard", seed=5)
N_BOARDS = 2


class Home(RuleBasedStateMachine):
    """Two boards that keep their flash, a host that keeps its disk; both are reset at any time.

    Whatever happens: a board's base is a model that the host has merged, bit for bit, and never an
    older one than before; an update counts once; no error comes out of either side.
    """

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed):
        self.rng = random.Random(seed)
        self.now_ms = 0
        params = new_params(SPEC)
        init_params(SPEC, params)
        self.history = {1: params}  # on the host's disk, with the merger's sums
        self.merger = MeanMerger(SPEC)
        self.merger.start(params)
        self.round = 0  # the last that was closed
        self.accepted = set()  # boards, in the open round
        self.bases = [MemoryBase() for _ in range(N_BOARDS)]
        self.versions = [0] * N_BOARDS
        self.boards = [None] * N_BOARDS
        self.hubs = [None] * N_BOARDS
        self.offers = [None] * N_BOARDS  # the task that the board got in this session
        for b in range(N_BOARDS):
            self.reset_board(b)
            self.relink(b)
        self.go_on(40, False)

    boards_ = st.integers(0, N_BOARDS - 1)

    @rule(b=boards_)
    def reset_board(self, b):
        self.bases[b].abort()  # an unfinished file
        self.boards[b] = Board(
            Identity(f"b{b}", bytes([b]), 2), KEY, self.bases[b], Samples(6, seed=b),
            self.rng.randbytes,
        )  # fmt: skip
        self.boards[b].open(self.now_ms)

    @rule(b=boards_)
    def relink(self, b):
        self.hubs[b] = Hub(KEY, self.rng.randbytes)
        self.hubs[b].open(self.now_ms)
        self.boards[b].open(self.now_ms)
        self.offers[b] = None

    @rule()
    def kill_host(self):
        """What was merged is on disk, the open round is lost."""
        self.merger.drop()
        self.accepted = set()
        for b in range(N_BOARDS):
            self.hubs[b] = Hub(KEY, self.rng.randbytes)
            self.hubs[b].open(self.now_ms)
            self.offers[b] = None

    @precondition(lambda self: self.accepted)
    @rule()
    def close_round(self):
        params = self.merger.merge()
        self.round += 1
        self.history[max(self.history) + 1] = params
        self.accepted = set()

    @rule(turns=st.integers(1, 60), lossy=st.booleans())
    def go_on(self, turns, lossy):
        for _ in range(turns):
            self.now_ms += 10
            for b in range(N_BOARDS):
                self.turn(b, lossy)

    def turn(self, b, lossy):
        board, hub = self.boards[b], self.hubs[b]
        down, up = hub.outgoing(self.now_ms), board.outgoing(self.now_ms)
        if not (lossy and self.rng.random() < 0.3):
            board.receive(down, self.now_ms)
        for _ in range(4):
            board.step(self.now_ms)
        if not (lossy and self.rng.random() < 0.3):
            for event in hub.receive(up, self.now_ms):
                self.on_event(b, event)
        if hub.joined and b not in self.accepted and self.offers[b] != self.round:
            self.ask(b)

    def on_event(self, b, event):
        if isinstance(event, Joined):
            self.offers[b] = None
            self.holds = event.status
            known = self.history.get(event.status.version)
            assert event.status.version == 0 or SPEC.digest(known) == event.status.digest
        elif isinstance(event, messages.Error):
            assert event.code == messages.BAD_MODEL
            self.offers[b] = None
        elif isinstance(event, Update) and event.begin.round == self.round + 1:
            if event.begin.version != max(self.history) or b in self.accepted:
                return
            parsed = delta.parse_update(SPEC, 3, event.begin.meta, event.data)
            self.merger.add(parsed, self.merger.weight(event.begin.n_samples))
            self.accepted.add(b)
            self.hubs[b].send(messages.Accepted(round=self.round + 1))

    def ask(self, b):
        """The newest model: as changes, if it is known what the board has; else dense."""
        hub, version = self.hubs[b], max(self.history)
        if hub.transferring:
            return
        params = self.history[version]
        self.offers[b] = self.round
        digest = SPEC.digest(params)
        hub.send(messages.Task(
            run=9, round=self.round + 1, version=version, digest=digest, op=messages.TRAIN,
            flags=messages.CARRY, layers=3, epochs=1, batch=4, top_permille=200, bits=4,
            spec=SPEC.pack(), seed=b,
        ))  # fmt: skip
        held = self.bases[b].version  # as its STATUS would say
        if held == version:
            return
        encoding, meta, data = encode_delta(SPEC, self.history.get(held), params)
        hub.transfer(messages.Begin(
            what=messages.MODEL, round=self.round + 1, version=version, base=held,
            encoding=encoding, n_bytes=len(data), digest=digest, meta=meta,
        ), [data])  # fmt: skip

    @invariant()
    def boards_hold_what_the_host_has_merged(self):
        for b, base in enumerate(self.bases if hasattr(self, "bases") else ()):
            assert base.version >= self.versions[b]
            self.versions[b] = base.version
            if base.version:
                held = array("h", bytes(2 * SPEC.n_params))
                base.read(0, held)
                assert held == self.history[base.version]

    def teardown(self):
        """Left in peace, it goes on: both boards take part in one more round."""
        if not hasattr(self, "bases"):
            return
        for b in range(N_BOARDS):
            self.relink(b)
        for _ in range(3000):
            if len(self.accepted) == N_BOARDS:
                break
            self.go_on(1, False)
        assert len(self.accepted) == N_BOARDS
        self.close_round()
        assert max(self.history) == self.round + 1


calm = settings(
    max_examples=40, stateful_step_count=60, deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)  # fmt: skip


@pytest.mark.parametrize("machine", [Line, Home])
def test_machine(machine):
    from hypothesis.stateful import run_state_machine_as_test

    few = settings(calm, max_examples=15) if machine is Home else calm
    run_state_machine_as_test(machine, settings=few)
