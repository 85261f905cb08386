"""Run by each interpreter: the handshake of docs/protocol.md, as Node and Hub really speak it."""

from binascii import hexlify

from fedboard import messages
from fedboard.hub import Hub
from fedboard.node import Identity, Node

KEY = bytes(range(32))
node = Node(
    Identity("kitchen", b"\x01\x02", 1), KEY, lambda n: b"\xaa" * n,
    lambda: messages.Status(firmware="1.25", kernels="viper", n_samples=40, n_in=64),
)  # fmt: skip
hub = Hub(KEY, lambda n: b"\xbb" * n, "home", window=2, knock=False)
hub.open(0)
node.open(0)
for turn in range(2):
    said = node.outgoing(0)
    print(hexlify(said).decode())
    hub.receive(said, 0)
    if not turn:
        said = hub.outgoing(0)
        print(hexlify(said).decode())
        node.receive(said, 0)
hub.send(messages.Ping(token=7))
print(hexlify(hub.outgoing(0)).decode())
