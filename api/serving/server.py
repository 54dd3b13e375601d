"""A process of the service: its engine, and serving until a signal ends it."""

import asyncio
import gc
import logging
import resource
import signal
import socket
import sys
import time
from random import Random
from typing import Final, NoReturn, cast

import uvicorn
from litestar import Litestar

from api.serving.connections import Bounds, Connection
from api.settings import ApiSettings, ApiSettingsError
from counters.engine import Engine, EngineSettings
from counters.healing.settings import HealingSettings
from counters.stores.port import Store

logger = logging.getLogger(__name__)

_GRACE_S: Final = 2
"""Beyond an operation's deadline: time to send its answer."""

_LINGER_S: Final = 1.0
"""Longer than the way of a request that was sent just before the server began to stop."""

_POLL_S: Final = 0.02

_CANCEL_S: Final = 1.0
"""Time for requests that were ended to answer so."""

_OTHER_FILES: Final = 512
"""Open files that are no client's connection: 128 connections to the database, those that are being refused, logs."""

_TICKS_A_SECOND: Final = 10

_GC_THRESHOLD: Final = 10_000
"""New objects between two collections, not 700: looking at the young ones took 2 percent of a busy process's time."""


def make_engine(store: Store, settings: ApiSettings) -> Engine:
    """Return the process's engine, with the real clock and randomness that the system seeds."""
    engine_settings = EngineSettings(
        deadline_s=settings.deadline_s,
        services_slots=settings.services_slots,
        healing=HealingSettings(heal_after_s=settings.heal_after_s),
    )
    # For ids and jitter, not for secrets; the system's own randomness costs a call to it for each id.
    random = Random()  # noqa: S311
    return Engine(store, clock=lambda: time.time_ns() // 1_000_000, random=random, settings=engine_settings)


async def serve(app: Litestar, settings: ApiSettings) -> None:
    """Serve until SIGTERM or SIGINT; then stop accepting, finish the requests in flight and run the app's shutdown.

    Ends the program with exit code 0, after the callers' context managers are closed.

    Raises:
        ApiSettingsError: The operating system does not let this process open enough connections.
    """
    allow_files(settings.max_connections)

    class BoundedConnection(Connection):
        bounds = Bounds(connections=settings.max_connections, body_s=settings.deadline_s)

    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=BoundedConnection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=int(settings.deadline_s) + _GRACE_S,
    )
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        # After its shutdown the server raises the signal again, which would end us before the client is closed.
        signal.signal(signal_number, _exit)
    _spare_the_garbage_collector()
    await Server(config).serve()


class Server(uvicorn.Server):
    """uvicorn's server, with our bounds on connections and our way to stop.

    uvicorn closes every connection that is idle when it begins to stop. A client that sends its next request at that
    moment finds the connection closed, and cannot know whether the request was carried out. So for a moment each
    answer first asks the client to close the connection; only those that had no request all the while are closed idle.

    Requests that take too long for the stop are ended, and answered with 503.
    """

    async def on_tick(self, counter: int) -> bool:
        """See ``uvicorn.Server``; it calls this ten times a second."""
        if counter % _TICKS_A_SECOND == 0:
            self._look_at_the_time()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See ``uvicorn.Server``."""
        for server in self.servers:
            server.close()
        for connection in self._connections:
            connection.let_go()
        await self._wait_for_requests(_LINGER_S)
        for connection in self._connections:
            connection.shutdown()
        await self._wait_for_requests(self.config.timeout_graceful_shutdown or 0)
        for task in list(self.server_state.tasks):
            task.cancel()
        await self._wait_for_requests(_CANCEL_S)
        for connection in self._connections:
            # Its client does not read; uvicorn would wait for it once more.
            connection.transport.abort()
        await super().shutdown(sockets)

    @property
    def _connections(self) -> list[Connection]:
        return cast("list[Connection]", list(self.server_state.connections))

    def _look_at_the_time(self) -> None:
        now = asyncio.get_running_loop().time()
        for connection in self._connections:
            try:
                connection.look_at_the_time(now)
            except Exception as error:
                # An error with one connection would end the server.
                logger.exception("connection.failed", extra={"fields": {"reason": repr(error)}})
                connection.transport.abort()

    async def _wait_for_requests(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        state = self.server_state
        while (state.connections or state.tasks) and not self.force_exit and time.monotonic() < end:
            await asyncio.sleep(_POLL_S)
            self._look_at_the_time()


def allow_files(connections: int) -> None:
    """Let this process open a file for each connection of this number; without one, it could not even refuse.

    Raises:
        ApiSettingsError: The system does not let it.
    """
    needed = connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        reason = f"must be at most {hard - _OTHER_FILES}, not {connections}, or this process must be allowed more files"
        raise ApiSettingsError("MAX_CONNECTIONS", f"{reason} than {hard} (ulimit -n)")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _spare_the_garbage_collector() -> None:
    """Keep the objects that exist now out of later garbage collections: most of them stay for good.

    Going through all of it held up every request under way for 40 ms, more than once a second under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD)


def _exit(_signal_number: int, _frame: object) -> NoReturn:
    sys.exit(0)
