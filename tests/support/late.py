"""Calls to a store that are overtaken: they take effect later than what was done after them."""

import asyncio
from collections.abc import Awaitable, Callable

from counters.errors import OutcomeUnknownError
from counters.stores.port import Store

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


def let_act_before_next(store: Store, method: str, act: Callable[[], Awaitable[object]]) -> None:
    """Let somebody else act after the next call of a method is made and before it takes effect."""
    call = getattr(store, method)

    async def act_and_call(*args: object) -> object:
        delattr(store, method)
        await act()
        return await call(*args)

    setattr(store, method, act_and_call)
