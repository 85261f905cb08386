"""Reptile on a board: learn from a stream, step toward what was learned, adapt to a few shots.

    inner loop      stream()        phi -> phi~, one sample after the other, a yield after each.
                                    net.batch == 1: TinyReptile, nothing is stored; > 1: Reptile
    outer step      interpolate*()  phi += alpha (phi~ - phi)
    partly local    reconstruct()   first learn the local layers, which never travel, alone
    a new task      FewShot         adapt on a support stream, predict, restore()

(Nichol et al., "On First-Order Meta-Learning Algorithms", 2018; Ren et al., "TinyReptile", 2023;
local layers as in Singhal et al., "Federated Reconstruction", 2021.) `net` is a dfa.Network or an
mlp.Network; samples as on a board: len(samples), samples.read(i, x) -> target fills the buffer x.
An initialization is what has read(at, block), blocks of its int16 wire image: a board's base.
"""

from array import array

from fedboard import DataError, StateError
from fedboard.model import BLOCK
from fedboard.order import Order
from fedboard.prng import mix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

ALPHA_BITS = 12  # fractional bits of a step's size, where a ratio is asked for


def stream(net: "Any", samples: "Any", x: "Any", n: int, seed: int) -> "Iterator[None]":
    """Learn n samples, pass after pass in an order of the seed's. A batch left over is applied."""
    n_samples = len(samples)
    order = Order(n_samples, mix(seed, 0))
    for i in range(n):
        if i and i % n_samples == 0:
            order = Order(n_samples, mix(seed, i // n_samples))
        net.learn(x, samples.read(order.next(), x))
        yield
    net.flush()


def reconstruct(
    net: "Any", samples: "Any", x: "Any", n: int, seed: int, local: int, rate: int = 0
) -> "Iterator[None]":
    """Learn the layers of the mask `local` alone, with the others frozen; then all is as before.

    rate: of this phase; 0: the one that the network has.
    """
    batch, layers, usual = net.batch, net.layers, net.rate
    net.configure(batch, local, rate or usual)
    for _ in stream(net, samples, x, n, seed):
        yield
    net.configure(batch, layers, usual)


def restore(net: "Any", initial: "Any", layers: int = 0) -> None:
    """The network's parameters in the layers of this mask (0: all) = the initialization's."""
    spec = net.spec
    is_float = hasattr(net, "load")
    for l in range(spec.n_layers):
        if layers and not layers >> l & 1:
            continue
        end = spec.at(l + 1)
        for at in range(spec.at(l), end, BLOCK):
            block = array("h", bytes(2 * min(BLOCK, end - at)))
            initial.read(at, block)
            if is_float:
                net.load(block, at)
            else:
                for i in range(len(block)):
                    net.params[at + i] = block[i]


class Start:
    """An initialization in RAM: the wire image of parameters, for restore() and FewShot."""

    def __init__(self, params: "array[int]") -> None:
        self._params = params

    def read(self, at: int, block: "array[int]") -> None:
        for i in range(len(block)):
            block[i] = self._params[at + i]


class FewShot:
    """A network that becomes a task's own, and comes back: adapt(), net.predict(), restore().

    local: mask of the layers that no other machine knows; each task learns them from their values
    in `initial` (a board's own start values, say) before the rest adapts.
    """

    def __init__(self, net: "Any", initial: "Any", local: int = 0) -> None:
        if local >> net.spec.n_layers:
            raise DataError(f"no layers {local:#b} in a network of {net.spec.n_layers}")
        self.net = net
        self.local = local
        self._initial = initial

    def adapt(
        self, samples: "Any", x: "Any", n: int, n_local: int = 0, seed: int = 1
    ) -> "Iterator[None]":
        """From the initialization learn n_local samples in the local layers, then n in all.

        Samples come pass after pass. Yields after each; the network is the task's at the end.
        """
        self.restore()
        if n_local and self.local:
            for _ in reconstruct(self.net, samples, x, n_local, seed, self.local):
                yield
        for _ in stream(self.net, samples, x, n, seed + 1):
            yield

    def restore(self) -> None:
        """The initialization again, to the last bit."""
        self.net.flush()
        restore(self.net, self._initial)


def interpolate(phi: "array[float]", tuned: "array[float]", alpha: float) -> None:
    """phi += alpha (tuned - phi), in floats."""
    if len(phi) != len(tuned):
        raise StateError(f"{len(phi)} parameters cannot step toward {len(tuned)}")
    for i in range(len(phi)):
        phi[i] += alpha * (tuned[i] - phi[i])


def interpolate_int(
    phi: "array[int]", tuned: "array[int]", rest: "array[int]", alpha: int, limit: int = 32767
) -> None:
    """phi += alpha / 2**ALPHA_BITS (tuned - phi) in integers; nothing is lost to rounding.

    rest: array('h'), zeros at first: what of each parameter is owed, in 1 / 2**ALPHA_BITS, carried
    to the next step; so phi + rest / 2**ALPHA_BITS moves by exactly what the formula says, unless
    phi meets its limit. alpha: 0 to 2**ALPHA_BITS.
    """
    if not len(phi) == len(tuned) == len(rest):
        raise StateError(f"{len(phi)} parameters, {len(tuned)} tuned, {len(rest)} rests")
    if not 0 <= alpha <= 1 << ALPHA_BITS:
        raise DataError(f"alpha is 0 to {1 << ALPHA_BITS} (in 1/{1 << ALPHA_BITS}), not {alpha}")
    mask = (1 << ALPHA_BITS) - 1
    for i in range(len(phi)):
        owed = rest[i] + alpha * (tuned[i] - phi[i])
        value = phi[i] + (owed >> ALPHA_BITS)
        owed &= mask
        if value > limit or value < -limit:
            value = limit if value > limit else -limit
            owed = 0
        phi[i] = value
        rest[i] = owed


def linear(first: int, last: int, t: int, n: int) -> int:
    """Annealed from `first` at t = 0 to `last` at t = n: a straight line, rounded down."""
    return last + (first - last) * (n - min(t, n)) // n


def halving(first: int, last: int, t: int, every: int) -> int:
    """Annealed by halves: first >> t // every, but not below `last`."""
    return max(last, first >> min(t // every, 30))


class Reptile:
    """A whole meta-learner on one machine: phi, and a network that every task starts from.

    For a board alone, and the reference of what a host and its boards do together. phi: the
    initialization, array('f') or array('h') like net.params; a task is begin(), the inner loop,
    end(alpha). Costs a second copy of the parameters, in integers a third.
    """

    def __init__(self, net: "Any", phi: "Any", limit: int = 32767) -> None:
        if len(phi) != len(net.params):
            raise StateError(f"{len(phi)} initial values for {len(net.params)} parameters")
        self.net = net
        self.phi = phi
        self._limit = limit
        self._float = hasattr(net, "load")
        self._rest = array("h") if self._float else array("h", bytes(2 * len(phi)))

    def begin(self) -> None:
        """A new task: the network is the initialization."""
        self.net.flush()
        params = self.net.params
        for i in range(len(params)):
            params[i] = self.phi[i]

    def end(self, alpha: int) -> None:
        """The task is learned: phi steps toward it, by alpha / 2**ALPHA_BITS of the way."""
        self.net.flush()
        if self._float:
            interpolate(self.phi, self.net.params, alpha / (1 << ALPHA_BITS))
        else:
            interpolate_int(self.phi, self.net.params, self._rest, alpha, self._limit)
