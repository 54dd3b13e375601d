"""A lane's backlog: entries that the ledger did not take at once (``docs/design/engine.md``, section 4, step 2).

A slot of a ledger takes 1,000 writes a second, from all processes together. What it refuses waits here, the entries of
all batches in one line, and goes in one call at a time, as large and as often as what is taken tells. Were each batch
repeated for itself, there would be more calls the less comes through.
"""

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from random import Random
from typing import Final, NamedTuple

from counters.errors import NotAppliedError
from counters.keys import CounterKey
from counters.lanes.pacing import Rate
from counters.lanes.tickets import Ticket
from counters.stores.port import Store

BATCH_MAX: Final = 25
"""Most entries in one call; DynamoDB's limit for BatchWriteItem."""


class _Waiting(NamedTuple):
    ticket: Ticket
    is_written: asyncio.Future[bool]


class Backlog:
    """Writes what is left of batches, the oldest first."""

    def __init__(self, key: CounterKey, store: Store, random: Random) -> None:
        self._key = key
        self._store = store
        self._random = random
        self._slots = 1
        self._rate = Rate()
        self._next_at = -math.inf
        self._line: deque[_Waiting] = deque()
        self._under_way = 0
        self._size = BATCH_MAX
        self._worker: asyncio.Task[None] | None = None

    @property
    def size(self) -> int:
        """How many entries wait, those of the call under way among them."""
        return len(self._line) + self._under_way

    @property
    def is_free(self) -> bool:
        """Whether nothing waits and the ledger took all that came lately."""
        return not self.size and self._rate.is_free(asyncio.get_running_loop().time())

    @property
    def is_saturated(self) -> bool:
        """Whether the ledger took less than came for more than a moment."""
        return self._rate.is_known(asyncio.get_running_loop().time())

    def capacity(self, seconds: float) -> float:
        """Return how many entries the ledger takes in so many seconds: no bound while it takes all that comes."""
        return math.inf if self.is_free else max(BATCH_MAX, self._rate.taken_in(seconds))

    def observe(self, *, taken: int, refused: int) -> None:
        """Take in what the ledger did with the entries of a call, made here or elsewhere."""
        self._rate.observe(asyncio.get_running_loop().time(), taken, refused)

    async def try_at_once(self, slots: int, tickets: Sequence[Ticket]) -> list[Ticket]:
        """Send entries now, if it is free; return those that are still to be written.

        Args:
            slots: Partitions of the ledger, the same at each call.
            tickets: Whose entries to write, ``BATCH_MAX`` at most.

        Raises:
            OutcomeUnknownError: Nobody knows of any of them.
            StoreRejectedError: None of them will ever be stored.
        """
        self._slots = slots
        return await self._call(tickets) if self.is_free else [*tickets]

    async def write(self, ticket: Ticket) -> bool:
        """Write an entry when its turn comes.

        Returns:
            True when it is stored, False when its time was up before: then it certainly is not.

        Raises:
            OutcomeUnknownError: Nobody knows.
            StoreRejectedError: It will never be stored.
        """
        waiting = _Waiting(ticket, asyncio.get_running_loop().create_future())
        self._line.append(waiting)
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await waiting.is_written

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._line:
                await asyncio.sleep(self._next_at - loop.time())
                batch = self._take()
                if batch:
                    await self._repeat(batch)
        except Exception as error:  # noqa: BLE001 - each of those who wait gets it, and their lane logs it
            for waiting in self._line:
                _fail(waiting.is_written, error)
            self._line.clear()
        finally:
            self._worker = None

    def _take(self) -> dict[Ticket, asyncio.Future[bool]]:
        """Take the oldest out of the line, as many as fit into a call; those whose time is up are done."""
        now = asyncio.get_running_loop().time()
        batch: dict[Ticket, asyncio.Future[bool]] = {}
        while self._line and len(batch) < self._size:
            ticket, is_written = self._line.popleft()
            if ticket.expire_if_late(now):
                _resolve(is_written, result=False)
            else:
                batch[ticket] = is_written
        return batch

    async def _repeat(self, batch: dict[Ticket, asyncio.Future[bool]]) -> None:
        self._under_way = len(batch)
        try:
            # Not cut short when the first one's time is up, which would leave all of them in doubt: who is out of time
            # has been answered, and the client bounds each call.
            left = await self._call([*batch])
        except Exception as error:  # noqa: BLE001 - each of those who wait gets it, and their lane logs what is unforeseen
            for is_written in batch.values():
                _fail(is_written, error)
            return
        finally:
            self._under_way = 0
        self._line.extendleft(_Waiting(ticket, batch.pop(ticket)) for ticket in reversed(left))
        for is_written in batch.values():
            _resolve(is_written, result=True)

    async def _call(self, tickets: Sequence[Ticket]) -> list[Ticket]:
        """Make one call, and decide on the size and the time of the next one for what is left.

        While all gets through, the next call follows at once and is twice as large (slow start: Jacobson, SIGCOMM
        1988), so that a moment of throttling is soon forgotten. Otherwise it waits for the rate, and is not much larger
        than twice of what got through: large calls that find little room get less of it than small ones that come more
        often. A call without an answer got nothing through: what broke it would break those of the whole line.
        """
        started_at = asyncio.get_running_loop().time()
        taken = 0
        try:
            left = await self._send(tickets)
            taken = len(tickets) - len(left)
            self.observe(taken=taken, refused=len(left))
            return left
        finally:
            self._size = min(BATCH_MAX, 2 * taken + 1)
            pause_s = self._rate.time_for_s(self._size) * self._random.uniform(0.5, 1.5)
            self._next_at = started_at if taken == len(tickets) else started_at + pause_s

    async def _send(self, tickets: Sequence[Ticket]) -> list[Ticket]:
        """Make one call; answer those whose entries are durable, and return those of entries that are not stored.

        Raises:
            OutcomeUnknownError: Nobody knows of any of them.
            StoreRejectedError: None of them ever will be.
        """
        try:
            unwritten = await self._store.write_entries(self._key, self._slots, [ticket.entry for ticket in tickets])
        except NotAppliedError:
            return [*tickets]
        left_ids = {entry.id for entry in unwritten}
        left = []
        for ticket in tickets:
            if ticket.entry.id in left_ids:
                left.append(ticket)
            else:
                ticket.store()
        return left


def _resolve(is_written: asyncio.Future[bool], *, result: bool) -> None:
    if not is_written.done():
        is_written.set_result(result)


def _fail(is_written: asyncio.Future[bool], error: Exception) -> None:
    if not is_written.done():
        is_written.set_exception(error)
