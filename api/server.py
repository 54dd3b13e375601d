"""A process of the service: its engine, and serving until a signal ends it."""

import asyncio
import gc
import signal
import socket
import sys
import time
from random import Random
from typing import Final, NoReturn

import uvicorn
from litestar import Litestar

from api.connections import Connection
from api.settings import Settings
from counters.engine import Engine, EngineSettings
from counters.store import Store

_KEEP_ALIVE_S: Final = 75
"""Longer than a load balancer's, which would otherwise reuse a connection that is just being closed."""

_GRACE_S: Final = 2
"""Beyond an operation's deadline: time to send its answer."""

_LINGER_S: Final = 1.0
"""Longer than the way of a request that was sent just before the server began to stop."""

_POLL_S: Final = 0.02

_GC_THRESHOLD: Final = 10_000
"""New objects between two collections, not 700: looking at the young ones took 2 percent of a busy process's time."""


def make_engine(store: Store, settings: Settings) -> Engine:
    """Return the process's engine, with the real clock and randomness that the system seeds."""
    engine_settings = EngineSettings(
        deadline_s=settings.deadline_s,
        services_slots=settings.services_slots,
    )
    # For ids and jitter, not for secrets; the system's own randomness costs a call to it for each id.
    random = Random()  # noqa: S311
    return Engine(store, clock=lambda: time.time_ns() // 1_000_000, random=random, settings=engine_settings)


async def serve(app: Litestar, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; then stop accepting, finish the requests in flight and run the app's shutdown.

    Ends the program with exit code 0, after the callers' context managers are closed.
    """
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=Connection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(settings.deadline_s) + _GRACE_S,
    )
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        # After its shutdown the server raises the signal again, which would end us before the client is closed.
        signal.signal(signal_number, _exit)
    _spare_the_garbage_collector()
    await _LingeringServer(config).serve()


class _LingeringServer(uvicorn.Server):
    """Closes no connection while a request may be on its way to it.

    uvicorn closes every connection that is idle when it begins to stop. A client that sends its next request at that
    moment finds the connection closed, and cannot know whether the request was carried out. So for a moment each
    answer first asks the client to close the connection; only those that had no request all the while are closed idle.
    """

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See ``uvicorn.Server``."""
        for server in self.servers:
            server.close()
        # In place, for the requests in flight hold this very list.
        self.server_state.default_headers.append((b"connection", b"close"))
        end = time.monotonic() + _LINGER_S
        while self.server_state.connections and time.monotonic() < end:  # noqa: ASYNC110  # nothing tells us
            await asyncio.sleep(_POLL_S)
        await super().shutdown(sockets)


def _spare_the_garbage_collector() -> None:
    """Take what was loaded until now, which is the most and stays, out of every later collection.

    Going through all of it held up every request under way for 40 ms, more than once a second under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD)


def _exit(_signal_number: int, _frame: object) -> NoReturn:
    sys.exit(0)
