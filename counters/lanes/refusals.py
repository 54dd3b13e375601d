"""Creates that find no room: refused, or first kept waiting for a healing that may find some (section 7)."""

import asyncio
import logging
import math
from collections.abc import Sequence

from counters.errors import CounterError, LimitReachedError, OverloadedError
from counters.healing.healer import Healer
from counters.keys import CounterKey
from counters.lanes.tickets import Ticket
from counters.model import Counter, Enforcement

logger = logging.getLogger(__name__)


class Refusals:
    """Refuses the creates of one lane, or keeps them until a healing has counted anew.

    What fits, and deletes, never wait for a healing.
    """

    def __init__(self, key: CounterKey, healer: Healer) -> None:
        self._key = key
        self._healer = healer
        self._waiting: list[Ticket] = []
        self._is_healing = False
        self._heal_again_at = 0.0

    @property
    def waiting(self) -> int:
        """How many creates wait for a healing."""
        return len(self._waiting)

    def refuse(self, counter: Counter, tickets: Sequence[Ticket], in_use: int) -> bool:
        """Answer creates that do not fit, or keep them for a healing.

        Args:
            counter: As last seen.
            tickets: What does not fit.
            in_use: What the limit was compared with.

        Returns:
            Whether a healing is to be started: ``heal``.
        """
        if self._is_healing or self._may_heal(counter):
            self._waiting += tickets
            is_first, self._is_healing = not self._is_healing, True
            return is_first
        for ticket in tickets:
            ticket.fail(self._refusal(counter, in_use))
        return False

    async def heal(self) -> tuple[Counter | None, list[Ticket]]:
        """Heal the counter; return it as it is then, None when it was not healed, and the creates that waited."""
        healed = None
        try:
            after = (await self._healer.heal(self._key)).after
            healed = after if isinstance(after, Counter) else None
        except CounterError as error:
            logger.info("counter.not_healed", extra={"fields": {**self._key._asdict(), "reason": str(error)}})
        except Exception as error:
            logger.exception("counter.healing_failed", extra={"fields": {**self._key._asdict(), "reason": repr(error)}})
        # Once in a while, whatever comes of it: a storm of refusals must not become one of recounts.
        self._heal_again_at = asyncio.get_running_loop().time() + self._healer.quiet_s
        self._is_healing = False
        tickets, self._waiting = self._waiting, []
        return healed, tickets

    def _refusal(self, counter: Counter, in_use: int) -> CounterError:
        if counter.enforcement is Enforcement.TIGHTENING:
            reason = "The account is becoming strict: creates go on when all that was let in before is counted."
            return OverloadedError(reason, retry_after_s=max(1, math.ceil(self._healer.quiet_in_s(counter))))
        return LimitReachedError(counter.limit or 0, in_use)

    def _may_heal(self, counter: Counter) -> bool:
        now = asyncio.get_running_loop().time()
        return now >= self._heal_again_at and self._healer.needs_healing(counter)
