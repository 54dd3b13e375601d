"""Calls to a store that get no answer and take effect all the same, later than what was done after them."""

import asyncio

from counters.errors import OutcomeUnknownError
from counters.store import Store

LATE_S = 2.9
"""How late: what a request can take at most is 3 s."""


def delay_next(store: Store, method: str, by_s: float = LATE_S) -> None:
    """Let the next call of a method get no answer and take effect so many seconds later."""
    call = getattr(store, method)

    async def call_late(*args: object) -> None:
        delattr(store, method)
        loop = asyncio.get_running_loop()
        loop.call_later(by_s, lambda: tasks.append(loop.create_task(call(*args))))
        raise OutcomeUnknownError(f"{method} got no answer")

    tasks: list[asyncio.Task[None]] = []
    setattr(store, method, call_late)
