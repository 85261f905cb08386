"""The network: a TCP connection that the board dials, and the WiFi below it.

Loaded only where fedboard.json asks for it. MicroPython and desktops have `socket` and `network`,
CircuitPython `socketpool` and `wifi`.
"""

from fedboard_device import link, system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

CONNECT_TIMEOUT_S = 5
WIFI_TIMEOUT_MS = 20000


class Tcp(link.Link):
    """A connection to the host, at the first of `hosts`, (address, port), that takes it.

    CircuitPython's sockets come from a pool, others from `socket`.
    """

    dials = True
    window = 4

    def __init__(self, hosts: "list[tuple[str, int]]", wifi: "dict[str, Any]") -> None:
        self.frame = link.long_frame()
        self._hosts = hosts
        self._wifi = wifi
        self._socket: Any = None
        self._buffer = bytearray(link.READ_BYTES)

    def open(self) -> None:
        self.close()
        if self._wifi:
            join_wifi(self._wifi["ssid"], self._wifi.get("password", ""))
        last = OSError("no address of a host")
        pool = _sockets()
        for family, kind, protocol, _, address in self._addresses(pool):
            system.feed()
            connection = pool.socket(family, kind, protocol)
            try:
                connection.settimeout(CONNECT_TIMEOUT_S)
                connection.connect(address)
                connection.setblocking(False)
            except OSError as error:
                connection.close()
                last = error
                continue
            try:
                connection.setsockopt(6, 1, 1)  # TCP_NODELAY: our frames are small and awaited
            except (AttributeError, OSError, ValueError):
                pass  # slower, no worse
            self._socket = connection
            try:
                self._poll = link.poller(connection)
            except (TypeError, OSError):
                self._poll = None
            return
        raise last

    def _addresses(self, pool: "Any") -> "Iterator[Any]":
        """What to dial. A name that nobody knows is passed over, unless it is the last hope."""
        for host, port in self._hosts:
            system.feed()
            try:
                found = pool.getaddrinfo(host, port, 0, pool.SOCK_STREAM)
            except OSError:
                if host == self._hosts[-1][0]:
                    raise
                continue
            yield from found

    def close(self) -> None:
        self._poll = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def leave(self) -> None:
        if not system.DESKTOP and self._wifi:
            leave_wifi()

    def read(self) -> "Any":
        try:
            if hasattr(self._socket, "recv_into"):
                n = self._socket.recv_into(self._buffer)
            else:
                n = self._socket.readinto(self._buffer)
        except OSError as error:
            if error.errno in link.WAIT:
                return b""
            raise
        if n is None:
            return b""
        if n == 0:
            raise OSError("the host closed the connection")
        return memoryview(self._buffer)[:n]

    def write(self, data: bytes) -> None:
        link.write_all(self._socket.send, data)


def _sockets() -> "Any":
    if system.RUNTIME == "circuitpython":
        import socketpool
        import wifi

        return socketpool.SocketPool(wifi.radio)
    import socket

    return socket


def join_wifi(ssid: str, password: str) -> None:
    """Join the network unless that is done. Desktops are on theirs. The password is never shown."""
    if system.DESKTOP:
        return
    if system.RUNTIME == "circuitpython":
        import wifi

        if not wifi.radio.connected:
            wifi.radio.connect(ssid, password)
        return
    import network

    station = network.WLAN(network.STA_IF)
    if station.isconnected():
        return
    station.active(True)
    station.connect(ssid, password)
    until_ms = system.clock_ms() + WIFI_TIMEOUT_MS
    while not station.isconnected():
        if system.clock_ms() > until_ms:
            station.disconnect()
            raise OSError(f"no WiFi {ssid}: check its name, password, and that it is 2.4 GHz")
        system.feed()
        system.sleep_ms(100)


def leave_wifi() -> None:
    if system.RUNTIME == "circuitpython":
        import wifi

        wifi.radio.stop_station()
        return
    import network

    network.WLAN(network.STA_IF).active(False)
