"""Creates that find no room: refused, or first kept waiting for a healing that may find some (section 7)."""

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

from counters.errors import CounterError, LimitReachedError, OverloadedError
from counters.healing.healer import Healer
from counters.keys import CounterKey
from counters.lanes.tickets import Ticket
from counters.model import Counter, Enforcement

logger = logging.getLogger(__name__)

TryAgain: TypeAlias = Callable[[Counter | None, list[Ticket]], None]
"""Takes the creates that waited, and the counter as a healing left it, or None when it was not healed."""


class Refusals:
    """Refuses the creates of one lane. Who does fit, and deletes, never wait for a healing.

    Attributes:
        healing: The one under way; None when there is none.
    """

    def __init__(self, key: CounterKey, healer: Healer) -> None:
        self._key = key
        self._healer = healer
        self._waiting: list[Ticket] = []
        self._heal_again_at = 0.0
        self.healing: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many wait for a healing."""
        return len(self._waiting)

    def refuse(self, counter: Counter, tickets: Sequence[Ticket], in_use: int, try_again: TryAgain) -> None:
        """Answer creates that do not fit, or heal the counter first, in the background, and let them try again.

        Args:
            counter: As last seen.
            tickets: What does not fit.
            in_use: What the limit was compared with.
            try_again: Gets those that waited. Not kept: a lane that is held by what it holds would stay in memory
                until the garbage collector comes by.
        """
        if self.healing is not None or self._may_heal(counter):
            self._waiting += tickets
            if self.healing is None:
                self.healing = asyncio.create_task(self._heal(try_again))
            return
        for ticket in tickets:
            ticket.fail(self._refusal(counter, in_use))

    def _refusal(self, counter: Counter, in_use: int) -> CounterError:
        if counter.enforcement is Enforcement.TIGHTENING:
            reason = "The account is becoming strict: creates go on when all that was let in before is counted."
            return OverloadedError(reason, retry_after_s=max(1, math.ceil(self._healer.quiet_in_s(counter))))
        return LimitReachedError(counter.limit or 0, in_use)

    def _may_heal(self, counter: Counter) -> bool:
        now = asyncio.get_running_loop().time()
        return now >= self._heal_again_at and self._healer.needs_healing(counter)

    async def _heal(self, try_again: TryAgain) -> None:
        healed = None
        try:
            after = (await self._healer.heal(self._key)).after
            healed = after if isinstance(after, Counter) else None
        except CounterError as error:
            logger.info("counter.not_healed", extra={"fields": {**self._key._asdict(), "reason": str(error)}})
        except Exception as error:
            logger.exception("counter.healing_failed", extra={"fields": {**self._key._asdict(), "reason": repr(error)}})
        finally:
            # Once in a while, whatever comes of it: a storm of refusals must not become one of recounts.
            self._heal_again_at = asyncio.get_running_loop().time() + self._healer.quiet_s
            self.healing = None
            tickets, self._waiting = self._waiting, []
            try_again(healed, tickets)
