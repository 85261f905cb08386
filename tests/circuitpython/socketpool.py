"""CircuitPython's sockets: no readinto, and an OSError where nothing has come yet.

Real ones can be polled; these cannot, as on boards without `select`.
"""

import errno

opened = []


class Socket:
    def __init__(self, family, kind, protocol):
        self.timeout = None
        self.address = None
        self.closed = False
        self.sent = bytearray()
        self.waiting = bytearray()
        opened.append(self)

    def settimeout(self, timeout):
        self.timeout = timeout

    def setblocking(self, flag):
        self.timeout = None if flag else 0

    def connect(self, address):
        assert self.timeout, "it would wait for ever"
        if address[0] == "10.0.0.1":
            raise OSError(111, "refused")
        self.address = address

    def recv_into(self, buffer):
        assert self.timeout == 0
        if self.closed:
            raise OSError(9, "closed")
        if not self.waiting:
            raise OSError(errno.EAGAIN, "nothing")
        n = min(len(buffer), len(self.waiting))
        buffer[:n] = self.waiting[:n]
        self.waiting = self.waiting[n:]
        return n

    def send(self, data):
        n = min(len(data), 100)
        self.sent += bytes(data[:n])
        return n

    def close(self):
        self.closed = True


class SocketPool:
    SOCK_STREAM = 1

    def __init__(self, radio):
        assert radio.connected, "no network yet"

    def getaddrinfo(self, host, port, family=0, kind=0):
        if host.endswith(".local"):
            raise OSError(-2, "unknown")  # socketpool.gaierror is one
        return [(2, 1, 0, "", (host, port))]

    def socket(self, family, kind, protocol):
        return Socket(family, kind, protocol)
