"""The page over HTTP: starlette's routes, server-sent events, buttons, and who may see it.

    GET /             the page            GET /page.css, /page.js
    GET /events       fragments as they change: see page.js
    POST /act/NAME    pause, record, personalize: {"said": text}, where there is a Control

On this machine's own address no token is needed, but the Host must be one of its names, so that no
web site can reach in. Elsewhere every request needs ?token=. Buttons also want a header that forms
of other sites cannot send. Nothing secret is on the page: neither key nor token.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from html import escape
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from fedboard import DataError, FedboardError
from fedboard_host import jsontext
from fedboard_host.dashboard import fragments, page
from fedboard_host.dashboard.feed import Feed

LOOK_S = 1.0
_EVERY_S = 2.0  # times since boards were heard go on
_HOSTS = ("localhost", "127.0.0.1", "[::1]", "testserver")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Control(Protocol):
    """What the buttons do: server.Federation. In the loop's thread; DataError says why not."""

    @property
    def is_paused(self) -> bool: ...
    def pause(self, paused: bool) -> None: ...
    def record(self, board: str, label: int, seconds: float) -> None: ...
    def personalize(self, board: str) -> None: ...


class Dashboard:
    """token "": everybody on this machine may look, and use the buttons if there is a control."""

    def __init__(self, feed: Feed, control: Control | None = None, token: str = "") -> None:
        self._feed = feed
        self._control = control
        self._token = token
        self._closing = asyncio.Event()
        self.app = Starlette(routes=[
            Route("/", self._guarded(self._page)),
            Route("/page.css", self._guarded(self._asset)),
            Route("/page.js", self._guarded(self._asset)),
            Route("/events", self._guarded(self._events)),
            Route("/act/{name}", self._guarded(self._act), methods=["POST"]),
        ])  # fmt: skip

    def close(self) -> None:
        """End the streams, so that the server can stop."""
        self._closing.set()

    def _guarded(
        self, answer: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            response = self._refusal(request) or await answer(request)
            response.headers.update(_HEADERS)
            return response

        return guarded

    def _refusal(self, request: Request) -> Response | None:
        if self._token:
            given = request.query_params.get("token", "")
            if not secrets.compare_digest(given.encode(), self._token.encode()):
                text = "This page needs its token: use the whole address that fedboard printed."
                return HTMLResponse(f"<p>{text}</p>", 403)
        else:
            host = request.headers.get("host", "")
            if host.rsplit(":", 1)[0] not in _HOSTS and host not in _HOSTS:
                return HTMLResponse("<p>Use localhost in the address.</p>", 403)
        return None

    async def _page(self, request: Request) -> Response:
        query = "?token=" + self._token if self._token else ""
        try:
            state = await asyncio.to_thread(self._feed.read)
        except (DataError, sqlite3.Error) as error:
            return HTMLResponse(f"<p>{escape(str(error))}</p>", 503)
        return HTMLResponse(page.live(state, self._control is not None, query))

    async def _asset(self, request: Request) -> Response:
        name = request.url.path.rsplit("/", 1)[1]
        kind = "text/css" if name.endswith("css") else "text/javascript"
        return Response(page.asset(name), media_type=kind)

    async def _events(self, request: Request) -> Response:
        return StreamingResponse(self._stream(request), media_type="text/event-stream")

    async def _stream(self, request: Request) -> AsyncIterator[str]:
        """What has changed since this browser was last told."""
        loop = asyncio.get_running_loop()
        told: dict[str, str] = {}
        change: Any = None
        at_s = 0.0
        while not self._closing.is_set() and not await request.is_disconnected():
            try:
                paused = self._control is not None and self._control.is_paused
                now = (await asyncio.to_thread(self._feed.change), paused)
                if now != change or loop.time() - at_s >= _EVERY_S:
                    change, at_s = now, loop.time()
                    state = await asyncio.to_thread(self._feed.read)
                    found = fragments.all_of(state)
                    news = {k: html for k, html in found.items() if told.get(k) != html}
                    told = found
                    names = [b["name"] for b in state.presence.boards] if state.presence else []
                    data = {"fragments": news, "paused": paused, "boards": names}
                    yield f"data: {jsontext.dumps(data)}\n\n"
            except (DataError, sqlite3.Error):
                pass  # it is being written, or has been moved: look again
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._closing.wait()
            except TimeoutError:
                continue

    async def _act(self, request: Request) -> Response:
        control = self._control
        if request.headers.get("x-fedboard") != "1":
            return JSONResponse({"said": "Only this page's own buttons work."}, 403)
        if control is None:
            return JSONResponse(
                {"said": "This page only looks: use fedboard run --dashboard."}, 409
            )
        name = request.path_params["name"]
        try:
            values = await request.json()
            if name == "pause":
                control.pause(bool(values["paused"]))
                said = "Paused: no new round starts." if control.is_paused else "It goes on."
            elif name == "record":
                control.record(str(values["board"]), int(values["label"]), float(values["seconds"]))
                said = f"{values['board']} records."
            elif name == "personalize":
                control.personalize(str(values["board"]))
                said = f"{values['board']} adapts to its own samples."
            else:
                return JSONResponse({"said": f"There is no {name}."}, 404)
        except FedboardError as error:
            return JSONResponse({"said": str(error)}, 409)
        except (ValueError, KeyError, TypeError):
            return JSONResponse({"said": "Fill in board, label and seconds."}, 400)
        return JSONResponse({"said": said})
