"""A lane's lease: reservations made ahead of the creates that will use them (``docs/design/engine.md``, section 4).

On a counter in heavy use a flush would delay every create, and write the counter's item once for every few. With a
lease most creates wait for the write of their entry only. The item is then written about ten times a second, at any
speed of the ledger. What is in doubt is counted here too: a lease is in ``best_effort`` until it is given back.

It is escrow (O'Neil, ACM TODS 11(4), 1986) with an end: small beside the room that is left, and given back soon.
"""

import asyncio
from typing import NamedTuple

import msgspec

from counters.lanes.backlog import BATCH_MAX
from counters.lanes.pacing import Recent
from counters.lanes.queue import Queue
from counters.lanes.tickets import Adjustment
from counters.model import Counter


class LeaseSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of every lane's lease.

    Attributes:
        lasts_s: How long a lease may be used after its flush was sent, in seconds, and for how long it should suffice.
            With an operation's deadline added it must be shorter than the quiet that healing waits for.
        size_min: The smallest worth having.
        part_of_room: A lease takes at most the room divided by this. A caller is refused because of a lease only when
            the rest of the room is used up before the lease is given back.
    """

    lasts_s: float = 0.1
    size_min: int = BATCH_MAX
    part_of_room: int = 64


class _Lot(NamedTuple):
    counter: Counter
    until: float
    end: asyncio.TimerHandle


class Lease:
    """Reservations of one lane that no create has used yet.

    Attributes:
        size: Their sum.
    """

    def __init__(self, queue: Queue, settings: LeaseSettings) -> None:
        self._queue = queue
        self._settings = settings
        self._demand = Recent()
        self._lot: _Lot | None = None
        self.size = 0

    def observe(self, amount: int) -> None:
        """Add an amount that was let in just now. The demand decides how large the next lease is."""
        self._demand.observe(asyncio.get_running_loop().time(), amount)

    def restrain(self) -> None:
        """Forget the demand: a flush whose answer was lost may be repeated, and each try may reserve."""
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

    def grant(self, counter: Counter, size: int, sent_at: float) -> None:
        """Keep what a flush reserved until its time is up; what was kept before must have been given back.

        The flush may have taken effect as soon as it was sent, and a healing that came since has dropped what it
        reserved. So the lease's time runs from the sending, however late the answer came.

        Args:
            counter: As the flush left it: what is taken out later belongs to its epoch.
            size: How much.
            sent_at: Event loop time just before the flush was sent, in seconds.
        """
        loop = asyncio.get_running_loop()
        until = sent_at + self._settings.lasts_s
        if until <= loop.time():
            # It is over already. While answers take that long, each lease would only be given back.
            self.restrain()
        self._lot = _Lot(counter, until, loop.call_at(until, self.give_back))
        self.size = size

    def draw(self, amount: int) -> Counter | None:
        """Use this amount for creates; return the counter as the lease's flush left it, or None when less is left."""
        if self._lot is None or amount > self.size or asyncio.get_running_loop().time() >= self._lot.until:
            return None
        self.size -= amount
        return self._lot.counter

    def give_back(self) -> None:
        """Empty the lease, and queue the adjustment that releases what was left of it.

        It follows the ledger like a release: once at most, and not after a healing, which counted what there is.
        """
        if self._lot is None:
            return
        lot, size = self._lot, self.size
        self._lot, self.size = None, 0
        # A timer that is left would keep the lane in memory until it rings.
        lot.end.cancel()
        if size:
            self._queue.add(Adjustment({lot.counter.revision: -size}, lot.counter.epoch))
