"""A process of the service: its engine, and serving until a signal ends it."""

import signal
import sys
import time
from random import SystemRandom
from typing import Final, NoReturn

import uvicorn
from litestar import Litestar

from api.settings import Settings
from counters.engine import Engine, EngineSettings
from counters.healing import HealingSettings
from counters.store import Store

_KEEP_ALIVE_S: Final = 75
"""Longer than a load balancer's, which would otherwise reuse a connection that is just being closed."""

_QUIET_S_MIN: Final = 15.0
"""A counter is healed when it was untouched for so long, and for three deadlines: one for the operation, a half for a
call that was sent at its end, the rest for the clocks' differences."""

_GRACE_S: Final = 2
"""Beyond an operation's deadline: time to send its answer."""


def make_engine(store: Store, settings: Settings) -> Engine:
    """Return the process's engine, with the real clock and the system's randomness."""
    engine_settings = EngineSettings(
        deadline_s=settings.deadline_s,
        services_slots=settings.services_slots,
        healing=HealingSettings(quiet_s=max(_QUIET_S_MIN, 3 * settings.deadline_s)),
    )
    return Engine(store, clock=lambda: time.time_ns() // 1_000_000, random=SystemRandom(), settings=engine_settings)


async def serve(app: Litestar, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; then stop accepting, finish the requests in flight and run the app's shutdown.

    Ends the program with exit code 0, after the callers' context managers are closed.
    """
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http="httptools",
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
    await uvicorn.Server(config).serve()


def _exit(_signal_number: int, _frame: object) -> NoReturn:
    sys.exit(0)
