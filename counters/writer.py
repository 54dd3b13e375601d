"""Writing admitted entries to the ledger, 25 a call (``docs/design.md``, section 4, step 2).

Each ticket leaves in one of three ways: its entry is durable; or it is proven that the entry was never written; or
nobody knows. In strict mode a ticket comes with a reservation, which goes back only in the second case, as every doubt
is resolved upward.

A write is sent again only when it is proven that it was not applied. After an unknown outcome it may still be under
way, and if a second one was answered and the entry deleted, the first would bring the entry back. So the writer looks
for the entry instead.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from random import Random
from typing import Final, NamedTuple

from counters.errors import NotAppliedError, OutcomeUnknownError, OverloadedError, StoreRejectedError
from counters.keys import CounterKey
from counters.retry import Backoff
from counters.store import Store
from counters.tickets import Ticket

BATCH_MAX: Final = 25
"""Most entries in one call; DynamoDB's limit for BatchWriteItem."""

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


class EntryWriter:
    """Writes entries until each ticket's deadline and answers the callers."""

    def __init__(self, store: Store, random: Random) -> None:
        self._store = store
        self._random = random

    async def write(self, key: CounterKey, slots: int, tickets: Sequence[Ticket]) -> Written:
        """Write the entries of admitted tickets and answer them."""
        fresh = [ticket for ticket in tickets if not ticket.own_id]
        writes = [
            self._write_batch(key, slots, fresh[start : start + BATCH_MAX]) for start in range(0, len(fresh), BATCH_MAX)
        ]
        writes += [self._insert(key, slots, ticket) for ticket in tickets if ticket.own_id]
        unused = sum(await asyncio.gather(*writes)) if len(writes) > 1 else await writes[0]
        return Written(stored=sum(ticket.entry.amount for ticket in tickets if ticket.is_stored), unused=unused)

    async def _write_batch(self, key: CounterKey, slots: int, tickets: Sequence[Ticket]) -> int:
        """Write entries under ids of ours; return the sum of what was certainly not stored."""
        pending = {ticket.entry.id: ticket for ticket in tickets}
        unused = 0
        backoff = Backoff(self._random)
        while True:
            unused += _drop_expired(pending)
            if not pending:
                return unused
            try:
                async with asyncio.timeout_at(min(ticket.deadline for ticket in pending.values())):
                    unwritten = await self._store.write_entries(key, slots, [t.entry for t in pending.values()])
            except NotAppliedError:
                pass
            except (OutcomeUnknownError, TimeoutError):
                await asyncio.gather(*(self._look_for(key, slots, ticket) for ticket in pending.values()))
                return unused
            except StoreRejectedError as error:
                return unused + _fail(pending.values(), error)
            else:
                left = {entry.id for entry in unwritten}
                for entry_id in [entry_id for entry_id in pending if entry_id not in left]:
                    pending.pop(entry_id).store()
            if pending:
                await asyncio.sleep(backoff.next_s())

    async def _insert(self, key: CounterKey, slots: int, ticket: Ticket) -> int:
        """Write an entry under the caller's own id, unless it is taken; return what was certainly not stored."""
        pending = {ticket.entry.id: ticket}
        backoff = Backoff(self._random)
        while True:
            unused = _drop_expired(pending)
            if not pending:
                return unused
            try:
                async with asyncio.timeout_at(ticket.deadline):
                    taken_by = await self._store.insert_entry(key, slots, ticket.entry)
            except NotAppliedError:
                await asyncio.sleep(backoff.next_s())
            except (OutcomeUnknownError, TimeoutError):
                await self._look_for(key, slots, ticket)
                return 0
            except StoreRejectedError as error:
                return _fail([ticket], error)
            else:
                if taken_by is None:
                    ticket.store()
                    return 0
                ticket.replay(taken_by)
                return ticket.entry.amount

    async def _look_for(self, key: CounterKey, slots: int, ticket: Ticket) -> None:
        """Answer a ticket whose write is in doubt, by what the ledger shows within a second or the deadline."""
        loop = asyncio.get_running_loop()
        until = min(ticket.deadline, loop.time() + _DOUBT_S)
        backoff = Backoff(self._random)
        while loop.time() < until:
            with suppress(NotAppliedError, OutcomeUnknownError, TimeoutError):
                async with asyncio.timeout_at(until):
                    found = await self._store.read_entry(key, slots, ticket.entry.id)
                if found == ticket.entry:
                    ticket.store()
                    return
                if found is not None:
                    # The caller's own id was taken. Should that entry be deleted, our write may still come: so its
                    # reservation stays, and no answer promises anything.
                    break
            await asyncio.sleep(backoff.next_s())
        ticket.fail(OverloadedError("It is not known whether the entry was stored; look for it, or try again."))


def _drop_expired(pending: dict[str, Ticket]) -> int:
    """Take out the tickets whose time is up before a write is sent; return what they do not need."""
    now = asyncio.get_running_loop().time()
    expired = [pending.pop(entry_id) for entry_id in [*pending] if not pending[entry_id].is_live(now)]
    return _fail(expired, OverloadedError("The entry could not be stored in time; try again."))


def _fail(tickets: Iterable[Ticket], error: OverloadedError | StoreRejectedError) -> int:
    """Answer tickets whose entries were certainly not stored; return the sum of their amounts."""
    unused = 0
    for ticket in tickets:
        ticket.fail(error)
        unused += ticket.entry.amount
    return unused
