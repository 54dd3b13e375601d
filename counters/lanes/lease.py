"""A lane's lease: reservations made ahead of the creates that will use them (``docs/design/engine.md``, section 4).

On a counter in heavy use a flush would delay every create, and write the counter's item once for every few. With a
lease most creates wait for the write of their entry only, and the item is written about ten times a second, however
fast the ledger grows. As ever, what is in doubt is counted: a lease is in ``best_effort`` until it is given back.

It is escrow (O'Neil, ACM TODS 11(4), 1986) with an end: small beside the room that is left, and given back soon.
"""

import asyncio
from typing import NamedTuple

import msgspec

from counters.lanes.backlog import BATCH_MAX
from counters.lanes.pacing import Recent
from counters.lanes.tickets import Adjustment
from counters.model import Counter


class LeaseSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of every lane's lease.

    Attributes:
        lasts_s: How long a lease may be used after its flush was sent, in seconds, and for how long it should suffice.
            With an operation's deadline added it must be shorter than the quiet that healing waits for.
        size_min: The smallest worth having.
        part_of_room: A lease takes at most one part in so many of the room, so that hardly anybody finds a counter full
            because of it: the other parts would have to be used up before it is given back.
    """

    lasts_s: float = 0.1
    size_min: int = BATCH_MAX
    part_of_room: int = 64


class _Lot(NamedTuple):
    counter: Counter
    until: float


class Lease:
    """Reservations of one lane that no create has used yet.

    Attributes:
        size: Their sum.
    """

    def __init__(self, settings: LeaseSettings) -> None:
        self._settings = settings
        self._demand = Recent()
        self._lot: _Lot | None = None
        self.size = 0

    def observe(self, amount: int) -> None:
        """Take in how much was let in just now: the demand, from which follows how much to take."""
        self._demand.observe(asyncio.get_running_loop().time(), amount)

    def restrain(self) -> None:
        """Forget the demand, so that what is not answered is not much, however often it is repeated."""
        self._demand = Recent()

    def wanted(self, counter: Counter, in_use: int) -> int:
        """Return how much to reserve ahead now; zero when that is not worth it.

        Args:
            counter: As last seen.
            in_use: What its value will be without it.
        """
        now = asyncio.get_running_loop().time()
        size = int(self._demand.fades_to_per_s(now) * self._settings.lasts_s)
        if counter.limit is not None:
            size = min(size, (counter.limit - in_use) // self._settings.part_of_room)
        return size if size >= self._settings.size_min else 0

    def grant(self, counter: Counter, size: int, sent_at: float) -> float:
        """Keep what a flush reserved; what was kept before must have been given back.

        The flush may have taken effect as soon as it was sent, and a healing that came since has dropped what it
        reserved. So the lease's time runs from the sending, however late the answer came.

        Args:
            counter: As the flush left it: what is taken out later belongs to its epoch.
            size: How much.
            sent_at: Event loop time just before the flush was sent, in seconds.

        Returns:
            The event loop time, in seconds, until which it may be used.
        """
        until = sent_at + self._settings.lasts_s
        if until <= asyncio.get_running_loop().time():
            # It is over already. While answers take that long, each lease would only be given back.
            self.restrain()
        self._lot = _Lot(counter, until)
        self.size = size
        return until

    def draw(self, amount: int) -> Counter | None:
        """Use so much for creates; return the counter as the lease's flush left it, or None when there is less."""
        if self._lot is None or amount > self.size or asyncio.get_running_loop().time() >= self._lot.until:
            return None
        self.size -= amount
        return self._lot.counter

    def give_back(self) -> list[Adjustment]:
        """Empty the lease, and return the adjustment that releases what was left of it.

        It follows the ledger like a release: once at most, and not after a healing, which counted what there is.
        """
        if self._lot is None:
            return []
        counter, size = self._lot.counter, self.size
        self._lot, self.size = None, 0
        return [Adjustment(-size, counter.epoch)] if size else []
