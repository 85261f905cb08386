"""The host's name on the local network (mDNS, DNS-SD): boards find it without its address.

    advert = Advert("kitchen", 4850)
    await advert.start()            kitchen.local, and a service of type _fedboard._tcp
    await advert.close()

Networks that do not pass multicast on (guests', companies') need the address: see addresses().
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fedboard import PROTOCOL, VERSION
from fedboard_host.links.tcp import is_loopback

if TYPE_CHECKING:
    from zeroconf import ServiceInfo
    from zeroconf.asyncio import AsyncZeroconf

SERVICE = "_fedboard._tcp.local."
_TIMEOUT_S = 5.0


def host_name(federation: str) -> str:
    """The federation's name as one in the domain local: "My kitchen" is my-kitchen.local."""
    label = re.sub(r"[^a-z0-9]+", "-", federation.lower()).strip("-")[:40].strip("-")
    return (label or "fedboard") + ".local"


def addresses() -> list[str]:
    """This machine's IPv4 addresses on networks."""
    import ifaddr

    found = [str(ip.ip) for adapter in ifaddr.get_adapters() for ip in adapter.ips if ip.is_IPv4]
    return [ip for ip in found if not is_loopback(ip)]


def service(federation: str, port: int, ips: Sequence[str]) -> ServiceInfo:
    """What is advertised."""
    from zeroconf import ServiceInfo

    server = host_name(federation)
    return ServiceInfo(
        SERVICE, f"{server.removesuffix('.local')}.{SERVICE}", port=port,
        addresses=[socket.inet_aton(ip) for ip in ips], server=server + ".",
        properties={"version": VERSION, "protocol": str(PROTOCOL)},
    )  # fmt: skip


class Advert:
    """interfaces: addresses of those to tell on; the default is all."""

    def __init__(self, federation: str, port: int, interfaces: Sequence[str] | None = None) -> None:
        self._federation = federation
        self._port = port
        self._interfaces = interfaces
        self._zeroconf: AsyncZeroconf | None = None

    async def start(self) -> str:
        """ "" if the name is known on the network now, else why not."""
        try:
            from zeroconf import Error, InterfaceChoice
            from zeroconf.asyncio import AsyncZeroconf
        except ImportError:
            return "zeroconf is not installed (pip install zeroconf)"
        try:
            ips = list(self._interfaces or addresses())
            if not ips:
                return "this machine is on no network"
            self._zeroconf = AsyncZeroconf(interfaces=self._interfaces or InterfaceChoice.All)
            async with asyncio.timeout(_TIMEOUT_S):
                info = service(self._federation, self._port, ips)
                await self._zeroconf.async_register_service(info, allow_name_change=True)
        except (Error, OSError, TimeoutError) as error:
            await self.close()
            return f"the network does not take the name ({type(error).__name__})"
        return ""

    async def close(self) -> None:
        if self._zeroconf is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_TIMEOUT_S):
                    await self._zeroconf.async_close()
            self._zeroconf = None
