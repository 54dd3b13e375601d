"""Compare and set: a change that was decided on what was seen does not undo what came after it.

A change that is simply written can do harm when it is sent twice: its first try may come late and undo a newer change
that was answered. So each change is conditional on the version that was seen, and carries a nonce by which a repeat
finds out that an earlier try made it.
"""

from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeVar

from counters.errors import ChangeConflictError, OutcomeUnknownError
from counters.retry import repeat

T = TypeVar("T")


async def compare_and_set(
    change: Callable[[T], Awaitable[T | None]],
    seen: T,
    is_made: Callable[[T], bool],
    deadline: float,
    random: Random,
) -> T | None:
    """Make a change; return the thing as it is then, or None when it does not exist any more.

    Refused without a doubt, it is decided again on what the refusal showed. In doubt it stays with what was seen first:
    on anything newer it might be made twice.

    Args:
        change: Makes one try on what was seen and returns the thing as it is after that, changed or not.
        seen: The thing as it was read.
        is_made: Tells by the thing, as it is now, whether the change was made.
        deadline: Event loop time in seconds after which no try is started.
        random: Source of the jitter.

    Raises:
        ChangeConflictError: Nobody knows whether it was made; if it was, a newer change took its place.
        OverloadedError: No try was answered in time.
    """
    in_doubt = False

    async def try_once() -> T | None:
        nonlocal in_doubt
        try:
            return await change(seen)
        except OutcomeUnknownError:
            in_doubt = True
            raise

    while True:
        now = await repeat(try_once, deadline, random)
        if now is None or is_made(now):
            return now
        if in_doubt:
            raise ChangeConflictError
        seen = now
