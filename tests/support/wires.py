"""A connection of the server without a network: what comes in is said by the test, what goes out is recorded."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

import uvicorn
from uvicorn.server import ServerState

from api.serving.connections import Bounds, Connection

Message: TypeAlias = dict[str, Any]
App: TypeAlias = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Any]

CLOSED: Final = "closed"
ENDED: Final = "ended"
ABORTED: Final = "aborted"


class RecordedWire(asyncio.Transport):
    """Records what goes over it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes | str] = []
        self.is_reading_paused = False
        self._closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent.append(bytes(data))

    def write_eof(self) -> None:
        self.sent.append(ENDED)

    def close(self) -> None:
        self._closing = True
        self.sent.append(CLOSED)

    def abort(self) -> None:
        self._closing = True
        self.sent.append(ABORTED)

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self.is_reading_paused = True

    def resume_reading(self) -> None:
        self.is_reading_paused = False

    @property
    def text(self) -> str:
        """All bytes that went over it."""
        return b"".join(part for part in self.sent if isinstance(part, bytes)).decode()

    @property
    def statuses(self) -> list[int]:
        """The statuses of the answers."""
        return [int(status) for status in re.findall(r"HTTP/1\.1 ([0-9]{3}) ", self.text)]


class Seen:
    """An application that answers every request with 200 and its body, and notes which it saw."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, bytes]] = []
        self.headers: list[list[tuple[bytes, bytes]]] = []

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
        self.requests.append((scope["method"], scope["path"], body))
        self.headers.append(scope["headers"])
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    @property
    def lines(self) -> list[str]:
        """The requests without their bodies."""
        return [f"{method} {path}" for method, path, _ in self.requests]


def connect(
    app: App, *, state: ServerState | None = None, bounds: Bounds | None = None
) -> tuple[Connection, RecordedWire]:
    """Return a new connection to this application, and its wire."""

    class Bounded(Connection):
        pass

    Bounded.bounds = bounds or Bounds()
    config = uvicorn.Config(app, http=Bounded, ws="none", log_config=None, access_log=False, server_header=False)
    config.load()
    wire = RecordedWire()
    connection = Bounded(config, state or ServerState(), {})
    connection.connection_made(wire)
    return connection, wire


async def settle() -> None:
    """Let everything that is under way come to its end."""
    for _ in range(20):
        await asyncio.sleep(0)
