"""The real server and API over the store in memory, and a note of all requests: ``python -m tests.sockets.server``.

``GET /seen`` tells the requests since it was last asked, and that none but itself is under way.
"""

import os
from typing import cast

import msgspec
import uvloop
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, HTTPRequestEvent, Receive, Scope, Send

from api.app import create_app
from api.serving.server import make_engine, serve
from api.settings import load_settings
from counters.logs import configure_logging
from counters.stores.memory import MemoryStore
from tests.sockets.conversations import Sent

SEEN_PATH = "/seen"


class Notes:
    """Notes every request before it goes on to an application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._seen: list[Sent] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        if scope["path"] == SEEN_PATH:
            await self._tell(send)
            return
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message["body"]
            more = message["more_body"]
        self._seen.append(Sent(scope["method"], scope["path"], body))
        await self._app(scope, _replay(body, receive), send)

    async def _tell(self, send: Send) -> None:
        body = msgspec.json.encode(self._seen)
        self._seen = []
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


def _replay(body: bytes, receive: Receive) -> Receive:
    first: list[HTTPRequestEvent] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> HTTPReceiveMessage:
        return first.pop() if first else cast("HTTPReceiveMessage", await receive())

    return cast("Receive", replay)


async def _serve() -> None:
    settings = load_settings(os.environ)
    app = create_app(make_engine(MemoryStore(), settings))
    app.asgi_handler = Notes(app.asgi_handler)
    await serve(app, settings)


if __name__ == "__main__":
    configure_logging("INFO")
    uvloop.run(_serve())
