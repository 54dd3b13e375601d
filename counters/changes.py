"""Compare and set: no late change undoes a newer one.

An unconditional write can do harm when it is sent twice: its first try may arrive late and undo a newer change that was
answered. So each change is conditional on the version that the caller saw. It also carries a nonce, by which a repeat
finds out that an earlier try made the change.
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

    A refused change is decided again on the version that the refusal showed. A change in doubt is not: on a newer
    version it might be made twice.

    Args:
        change: Tries the change on the given version; returns the thing after that, changed or not.
        seen: The thing as it was read.
        is_made: Tells from the thing as it is now whether the change was made.
        deadline: Event loop time in seconds after which no try is started.
        random: Source of the jitter.

    Raises:
        ChangeConflictError: It is not known whether the change was made. If it was, a newer change replaced it.
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
