"""Serving the page: from within a run's event loop, or on its own."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fedboard import DataError
from fedboard_host.links.tcp import is_loopback

if TYPE_CHECKING:
    from uvicorn import Server

    from fedboard_host.dashboard.app import Control, Dashboard
    from fedboard_host.dashboard.feed import Feed


class Page:
    """One served dashboard. url: with its token, if it is on a network."""

    def __init__(self, feed: Feed, control: Control | None, host: str, port: int) -> None:
        """Listens at once. Raises DataError: without the extra, or if the port is taken."""
        try:
            import uvicorn

            from fedboard_host.dashboard.app import Dashboard
        except ImportError:
            raise DataError(
                "the page needs starlette and uvicorn: pip install 'fedboard[dashboard]'"
            ) from None

        class Quiet(uvicorn.Server):
            """Leaves signals to the run."""

            @contextlib.contextmanager
            def capture_signals(self) -> Iterator[None]:
                yield

        token = "" if is_loopback(host) else secrets.token_urlsafe(18)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((host, port))
            self._socket.listen()
        except OSError as error:
            self._socket.close()
            raise DataError(
                f"the page cannot be served on {host}:{port} ({error.strerror or error}): "
                "choose another port"
            ) from None
        self.port = self._socket.getsockname()[1]
        self._dashboard: Dashboard = Dashboard(feed, control, token)
        config = uvicorn.Config(
            self._dashboard.app, log_level="error", access_log=False, lifespan="off",
            timeout_graceful_shutdown=2, ws="none",
        )  # fmt: skip
        self._server: Server = Quiet(config)
        named = "localhost" if is_loopback(host) else _reachable(host)
        self.url = f"http://{named}:{self.port}/" + (f"?token={token}" if token else "")

    async def serve(self) -> None:
        """Until close() or cancelled."""
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            self._socket.close()

    def close(self) -> None:
        self._dashboard.close()
        self._server.should_exit = True


async def follow(page: Page) -> None:
    """Serve until Ctrl-C, alone."""
    serving = asyncio.create_task(page.serve())
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        page.close()
        await serving


def _reachable(host: str) -> str:
    if host not in ("0.0.0.0", "::"):
        return f"[{host}]" if ":" in host else host
    from fedboard_host.advertise import addresses

    return next(iter(addresses()), "localhost")
