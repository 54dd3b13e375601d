"""Repeating what may be repeated, until the operation's deadline."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final, TypeVar

from counters.errors import NotAppliedError, OutcomeUnknownError, OverloadedError

T = TypeVar("T")

_BASE_S: Final = 0.005
_CAP_S: Final = 0.5

_OUT_OF_TIME: Final = "The operation ran out of time; try again."


class Backoff:
    """Waiting times between tries: exponential with full jitter (Brooker, AWS Architecture Blog, 2015)."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._ceiling_s = _BASE_S

    def next_s(self) -> float:
        """Return how long to wait before the next try, in seconds."""
        wait_s = self._random.uniform(0, self._ceiling_s)
        self._ceiling_s = min(_CAP_S, self._ceiling_s * 2)
        return wait_s


async def repeat(call: Callable[[], Awaitable[T]], deadline: float, random: Random) -> T:
    """Return the answer of a call that does no harm when it takes effect twice.

    Args:
        call: Makes one try.
        deadline: Event loop time in seconds after which no try is started.
        random: Source of the jitter.

    Raises:
        OverloadedError: No try was answered in time.
        StoreRejectedError: The store will never accept the call.
    """
    backoff = Backoff(random)
    loop = asyncio.get_running_loop()
    # Checked here, as a time-out in the past would still let the call run to its first pause.
    while loop.time() < deadline:
        try:
            async with asyncio.timeout_at(deadline):
                return await call()
        except TimeoutError as error:
            raise OverloadedError(_OUT_OF_TIME) from error
        except (NotAppliedError, OutcomeUnknownError) as error:
            wait_s = backoff.next_s()
            if loop.time() + wait_s >= deadline:
                raise OverloadedError("The store did not answer in time; try again.") from error
            await asyncio.sleep(wait_s)
    raise OverloadedError(_OUT_OF_TIME)
