"""Turns: one process at a time does a kind of work that several could do (``docs/design/engine.md``, section 7)."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Final

from counters.errors import CounterError
from counters.retry import repeat
from counters.stores.port import Store
from counters.values.ids import Clock, new_nonce

TURN_S: Final = 60.0
"""How long a turn lasts without a renewal. So the turn of a dead process ends."""

_RENEWED_EVERY_S: Final = TURN_S / 3

logger = logging.getLogger(__name__)


class Turn:
    """The right to do one kind of work, for one process at a time.

    It only saves work that would be done twice. A process that stood still for longer than its turn lasts goes on
    beside the next one, and the work must bear that, as a sweep does.

    Args:
        store: Where the turn is kept.
        name: The kind of work.
        clock: Tells the time.
        random: Source of the holder's name and of the jitter.
        deadline_s: Longest time to an answer of the store, in seconds.
    """

    def __init__(self, store: Store, name: str, *, clock: Clock, random: Random, deadline_s: float) -> None:
        self._store = store
        self._name = name
        self._clock = clock
        self._random = random
        self._deadline_s = deadline_s

    @asynccontextmanager
    async def take(self) -> AsyncIterator[bool]:
        """Hold the turn while the body runs. The value is False when another process has it; then do nothing.

        Raises:
            OverloadedError: The store did not answer in time.
            StoreRejectedError: The store refuses such a call.
        """
        holder = new_nonce(self._random)
        if not await self._take(holder, TURN_S):
            yield False
            return
        renewal = asyncio.create_task(self._renew(holder))
        try:
            yield True
        finally:
            renewal.cancel()
            with suppress(asyncio.CancelledError):
                await renewal
            # It ends by itself when this fails.
            with suppress(CounterError):
                await self._take(holder, 0.0)

    async def _renew(self, holder: str) -> None:
        while True:
            await asyncio.sleep(_RENEWED_EVERY_S)
            try:
                await self._take(holder, TURN_S)
            except CounterError as error:
                logger.warning("turn.not_renewed", extra={"fields": {"name": self._name, "reason": repr(error)}})

    async def _take(self, holder: str, length_s: float) -> bool:
        now_ms = self._clock()
        until_ms = now_ms + round(length_s * 1000)
        deadline = asyncio.get_running_loop().time() + self._deadline_s
        return await repeat(lambda: self._store.take_turn(self._name, holder, now_ms, until_ms), deadline, self._random)
