"""Writing admitted entries to the ledger, 25 a call (``docs/design/engine.md``, section 4, step 2).

Each ticket leaves in one of three ways: its entry is durable; or it is proven that the entry was never written; or
nobody knows. In strict mode a ticket comes with a reservation, which goes back only in the second case, as every doubt
is resolved upward.

A write is sent again only when it is proven that it was not applied. After an unknown outcome it may still be under
way, and if a second one was answered and the entry deleted, the first would bring the entry back. So the writer looks
for the entry instead.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from random import Random
from typing import Final, NamedTuple

from counters.errors import NotAppliedError, OutcomeUnknownError, OverloadedError, StoreRejectedError
from counters.keys import CounterKey
from counters.lanes.backlog import BATCH_MAX, Backlog
from counters.lanes.tickets import Ticket
from counters.retry import Backoff
from counters.stores.port import Store

_DOUBT_S: Final = 1.0
"""How long to look for an entry whose write was not answered. One that takes longer was most likely lost, and the
caller may as well be told."""


class Written(NamedTuple):
    """What became of a batch's amounts; what is in neither sum is in doubt.

    Attributes:
        stored: Sum of those whose entries are durable.
        unused: Sum of those that were certainly not stored, or were there before.
    """

    stored: int
    unused: int

    @classmethod
    def of(cls, tickets: Iterable[Ticket], unused: int = 0) -> "Written":
        """Return what became of these tickets, whose writes are over."""
        return cls(stored=_sum(ticket for ticket in tickets if ticket.is_stored), unused=unused)


class EntryWriter:
    """Writes a counter's entries until each ticket's deadline and answers the callers."""

    def __init__(self, key: CounterKey, store: Store, random: Random) -> None:
        self._key = key
        self._store = store
        self._random = random
        self._backlog = Backlog(key, store, random)
        self._inserts_waiting = 0
        self._slots = 1

    @property
    def backlog(self) -> int:
        """How many entries wait because the ledger did not take them at once."""
        return self._backlog.size + self._inserts_waiting

    @property
    def is_saturated(self) -> bool:
        """Whether the ledger took less than came for more than a moment."""
        return self._backlog.is_saturated

    def capacity(self, seconds: float) -> float:
        """Return how many entries the ledger takes in so many seconds: no bound while it takes all that comes."""
        return self._backlog.capacity(seconds)

    async def write(self, slots: int, tickets: Sequence[Ticket]) -> Written:
        """Write the entries of admitted tickets and answer them.

        Args:
            slots: Partitions of the ledger, the same at each call.
            tickets: Whose entries to write.
        """
        self._slots = slots
        fresh = [ticket for ticket in tickets if not ticket.has_own_id]
        writes = [self._write_batch(fresh[start : start + BATCH_MAX]) for start in range(0, len(fresh), BATCH_MAX)]
        writes += [self._insert(ticket) for ticket in tickets if ticket.has_own_id]
        return Written.of(tickets, await _sum_of_all(writes))

    async def _write_batch(self, tickets: Sequence[Ticket]) -> int:
        """Write entries under ids of ours; return the sum of what was certainly not stored."""
        now = asyncio.get_running_loop().time()
        live = [ticket for ticket in tickets if not ticket.expire_if_late(now)]
        unused = _sum(tickets) - _sum(live)
        if not live:
            return unused
        try:
            async with asyncio.timeout_at(min(ticket.deadline for ticket in live)):
                left = await self._backlog.try_at_once(self._slots, live)
        except (OutcomeUnknownError, TimeoutError):
            await asyncio.gather(*(self._look_for(ticket) for ticket in live))
            return unused
        except StoreRejectedError as error:
            return unused + _fail(live, error)
        if left:
            unused += await _sum_of_all([self._write_later(ticket) for ticket in left])
        return unused

    async def _write_later(self, ticket: Ticket) -> int:
        """Write an entry when its turn comes; return what was certainly not stored."""
        try:
            is_written = await self._backlog.write(ticket)
        except OutcomeUnknownError:
            await self._look_for(ticket)
            return 0
        except StoreRejectedError as error:
            return _fail([ticket], error)
        return 0 if is_written else ticket.entry.amount

    async def _insert(self, ticket: Ticket) -> int:
        """Write an entry under the caller's own id, unless it is taken; return what was certainly not stored."""
        backoff = Backoff(self._random)
        while not ticket.expire_if_late(asyncio.get_running_loop().time()):
            try:
                async with asyncio.timeout_at(ticket.deadline):
                    taken_by = await self._store.insert_entry(self._key, self._slots, ticket.entry)
            except NotAppliedError:
                self._backlog.observe(taken=0, refused=1)
                self._inserts_waiting += 1
                await asyncio.sleep(backoff.next_s())
                self._inserts_waiting -= 1
            except (OutcomeUnknownError, TimeoutError):
                await self._look_for(ticket)
                return 0
            except StoreRejectedError as error:
                return _fail([ticket], error)
            else:
                self._backlog.observe(taken=1, refused=0)
                if taken_by is None or taken_by.is_same(ticket.entry):
                    ticket.store()
                    return 0
                ticket.replay(taken_by)
                return ticket.entry.amount
        return ticket.entry.amount

    async def _look_for(self, ticket: Ticket) -> None:
        """Answer a ticket whose write is in doubt, by what the ledger shows within a second or the deadline."""
        loop = asyncio.get_running_loop()
        until = min(ticket.deadline, loop.time() + _DOUBT_S)
        backoff = Backoff(self._random)
        while loop.time() < until:
            with suppress(NotAppliedError, OutcomeUnknownError, TimeoutError):
                async with asyncio.timeout_at(until):
                    found = await self._store.read_entry(self._key, self._slots, ticket.entry.id)
                if found is not None and found.is_same(ticket.entry):
                    ticket.store()
                    return
                if found is not None:
                    # The caller's own id was taken, by another create of the same caller perhaps. Should that entry be
                    # deleted, our write may still come: so its reservation stays, and no answer promises anything.
                    break
            await asyncio.sleep(backoff.next_s())
        ticket.fail(OverloadedError("It is not known whether the entry was stored; look for it, or try again."))


async def _sum_of_all(writes: Sequence[Coroutine[None, None, int]]) -> int:
    """Return the sum of what these return. An error is raised when all are over, so that nothing goes on unseen."""
    if len(writes) == 1:
        return await writes[0]
    total = 0
    errors: list[BaseException] = []
    for outcome in await asyncio.gather(*writes, return_exceptions=True):
        if isinstance(outcome, BaseException):
            errors.append(outcome)
        else:
            total += outcome
    if errors:
        raise errors[0]
    return total


def _sum(tickets: Iterable[Ticket]) -> int:
    return sum(ticket.entry.amount for ticket in tickets)


def _fail(tickets: Sequence[Ticket], error: StoreRejectedError) -> int:
    """Answer tickets whose entries were certainly not stored; return the sum of their amounts."""
    for ticket in tickets:
        ticket.fail(error)
    return _sum(tickets)
