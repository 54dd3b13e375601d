"""Creates that find no room: they are refused, or wait for a healing that may find some (section 7)."""

import asyncio
import logging
import math
from collections.abc import Sequence
from typing import Final

from counters.errors import CounterError, LimitReachedError, OverloadedError
from counters.healing.healer import Healer
from counters.keys import CounterKey
from counters.lanes.queue import Batch, Queue
from counters.lanes.tickets import Ticket
from counters.lanes.view import View
from counters.model import Counter, Enforcement

_SETTLED_WITHIN_S: Final = 10.0
"""How long the two counts of a counter in use may differ before a refusal asks for a recount, in seconds."""

logger = logging.getLogger(__name__)


class Refusals:
    """Refuses the creates of one lane, or keeps them until a healing has counted anew.

    Creates that fit never wait for a healing, nor do deletes.
    """

    def __init__(self, key: CounterKey, healer: Healer, view: View, queue: Queue) -> None:
        self._key = key
        self._healer = healer
        self._view = view
        self._queue = queue
        self._waiting: list[Ticket] = []
        self._healing: asyncio.Task[None] | None = None
        self._heal_again_at = 0.0
        self._drifted_since = math.inf

    @property
    def waiting(self) -> int:
        """How many creates wait for a healing."""
        return len(self._waiting)

    @property
    def is_healing(self) -> bool:
        """Whether a healing is under way."""
        return self._healing is not None

    def refuse(self, counter: Counter, tickets: Sequence[Ticket], in_use: int) -> None:
        """Answer creates that do not fit, or keep them for a healing.

        Args:
            counter: As last seen.
            tickets: The creates that do not fit.
            in_use: The value that was compared with the limit.
        """
        if self._healing is None and self._may_heal(counter):
            self._healing = asyncio.create_task(self._heal(), name=f"healing of {self._key}")
        if self._healing is not None:
            self._waiting += tickets
            return
        for ticket in tickets:
            ticket.fail(self._refusal(counter, in_use))

    async def _heal(self) -> None:
        """Heal the counter, and queue again the creates that waited for it."""
        try:
            after = (await self._healer.heal(self._key)).after
            if isinstance(after, Counter):
                self._view.learn(after)
        except CounterError as error:
            logger.info("counter.not_healed", extra={"fields": {**self._key._asdict(), "reason": str(error)}})
        except Exception as error:
            logger.exception("counter.healing_failed", extra={"fields": {**self._key._asdict(), "reason": repr(error)}})
        # One healing in a while, failed or not: a storm of refusals must not become a storm of recounts.
        self._heal_again_at = asyncio.get_running_loop().time() + self._healer.heal_after_s
        self._healing = None
        tickets, self._waiting = self._waiting, []
        self._queue.put_back(Batch(tickets, []))

    def _refusal(self, counter: Counter, in_use: int) -> CounterError:
        if counter.enforcement is Enforcement.TIGHTENING:
            reason = "The account is becoming strict: creates go on when all that was let in before is counted."
            return OverloadedError(reason, retry_after_s=max(1, math.ceil(self._healer.quiet_in_s(counter))))
        return LimitReachedError(counter.limit or 0, in_use)

    def _may_heal(self, counter: Counter) -> bool:
        now = asyncio.get_running_loop().time()
        self._drifted_since = min(self._drifted_since, now) if counter.drift else math.inf
        if now < self._heal_again_at or not self._healer.needs_healing(counter):
            return False
        # Of a counter in use the stream may only not have told everything yet.
        return self._healer.is_quiet(counter) or now - self._drifted_since >= _SETTLED_WITHIN_S
