"""Repeating what may be repeated, until the operation's deadline."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final, TypeVar

from counters.errors import NotAppliedError, OutcomeUnknownError, OverloadedError

T = TypeVar("T")

_BASE_S: Final = 0.005
_CAP_S: Final = 0.5
_SLOWER: Final = 1.5
_FASTER_PER_S: Final = 1.0
"""Sends a second that are won by one that went well: from two a second back to a hundred takes four seconds."""

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


class Pace:
    """How fast to send to something that many others send to as well, when nobody knows how many.

    Nothing is held up before something was throttled. From then on sends are some time apart, more after each that was
    throttled and less after each that went well. So those who share a limit come to share it evenly, and few of their
    sends are in vain (additive increase, multiplicative decrease: Chiu and Jain, Computer Networks 17, 1989).

    A send that was not answered says nothing of how many others there are: it is repeated by ``Backoff``.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._interval_s = 0.0
        self._backoff = Backoff(random)

    def after_success_s(self) -> float:
        """Return how long after this send the next one may start, in seconds."""
        self._backoff = Backoff(self._random)
        self._interval_s /= 1 + _FASTER_PER_S * self._interval_s
        if self._interval_s < _BASE_S:
            self._interval_s = 0.0
        return self._interval_s * self._random.uniform(0.5, 1.5)

    def after_throttling_s(self) -> float:
        """Return how long after this send it may be repeated, in seconds: sooner than the next one, as it is late."""
        self._interval_s = min(_CAP_S, max(_BASE_S, self._interval_s * _SLOWER))
        return self._random.uniform(0, self._interval_s / 2)

    def after_silence_s(self) -> float:
        """Return how long after this send, which was not answered, it may be repeated, in seconds."""
        return self._backoff.next_s()


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
