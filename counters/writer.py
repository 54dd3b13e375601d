"""Writing reserved entries to the ledger, 25 a call (``docs/design.md``, section 4, step 2).

Each ticket that comes in holds a reservation. Each leaves in one of three ways: its entry is durable; or it is proven
that the entry was never written, and the reservation goes back; or nobody knows, and the reservation stays, as every
doubt is resolved upward.
"""

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Final

from counters.errors import NotAppliedError, OutcomeUnknownError, OverloadedError, StoreRejectedError
from counters.keys import CounterKey
from counters.model import Created, Entry
from counters.retry import Backoff
from counters.store import Store
from counters.tickets import Ticket

BATCH_MAX: Final = 25
"""Most entries in one call; DynamoDB's limit for BatchWriteItem."""


class EntryWriter:
    """Writes entries until each ticket's deadline and answers the callers."""

    def __init__(self, store: Store, random: Random) -> None:
        self._store = store
        self._random = random

    async def write(self, key: CounterKey, slots: int, tickets: Sequence[Ticket]) -> int:
        """Write the entries of reserved tickets and answer them.

        Returns:
            The sum of the reservations that are not needed after all and must go back to the counter.
        """
        fresh = [ticket for ticket in tickets if not ticket.own_id]
        writes = [
            self._write_batch(key, slots, fresh[start : start + BATCH_MAX]) for start in range(0, len(fresh), BATCH_MAX)
        ]
        writes += [self._insert(key, slots, ticket) for ticket in tickets if ticket.own_id]
        if len(writes) == 1:
            return await writes[0]
        return sum(await asyncio.gather(*writes))

    async def _write_batch(self, key: CounterKey, slots: int, tickets: Sequence[Ticket]) -> int:
        pending = {ticket.entry.id: ticket for ticket in tickets}
        doubtful: set[str] = set()
        surplus = 0
        backoff = Backoff(self._random)
        while True:
            surplus += _drop_expired(pending, doubtful)
            if not pending:
                return surplus
            try:
                unwritten = await self._store.write_entries(key, slots, [t.entry for t in pending.values()])
            except NotAppliedError:
                pass
            except OutcomeUnknownError:
                doubtful.update(pending)
            except StoreRejectedError as error:
                return surplus + _fail(pending, doubtful, error)
            else:
                left = {entry.id for entry in unwritten}
                for entry_id in [entry_id for entry_id in pending if entry_id not in left]:
                    ticket = pending.pop(entry_id)
                    ticket.grant(Created(ticket.entry, replayed=False))
            if pending:
                await asyncio.sleep(backoff.next_s())

    async def _insert(self, key: CounterKey, slots: int, ticket: Ticket) -> int:
        pending = {ticket.entry.id: ticket}
        doubtful: set[str] = set()
        backoff = Backoff(self._random)
        while True:
            surplus = _drop_expired(pending, doubtful)
            if not pending:
                return surplus
            try:
                stored = await self._store.insert_entry(key, slots, ticket.entry)
            except NotAppliedError:
                pass
            except OutcomeUnknownError:
                doubtful.add(ticket.entry.id)
            except StoreRejectedError as error:
                return _fail(pending, doubtful, error)
            else:
                return _answer_insert(ticket, stored, doubtful=bool(doubtful))
            await asyncio.sleep(backoff.next_s())


def _answer_insert(ticket: Ticket, stored: Entry | None, *, doubtful: bool) -> int:
    """Answer a create under the caller's own id; return what goes back."""
    # After a try of unknown outcome, an entry that equals ours is most likely ours: then the reservation is in use.
    if stored is None or (doubtful and stored == ticket.entry):
        ticket.grant(Created(ticket.entry, replayed=False))
        return 0
    ticket.grant(Created(stored, replayed=True))
    return ticket.entry.amount


def _drop_expired(pending: dict[str, Ticket], doubtful: set[str]) -> int:
    """Take out the tickets whose time is up; return what goes back."""
    now = asyncio.get_running_loop().time()
    expired = {entry_id: ticket for entry_id, ticket in pending.items() if not ticket.is_live(now)}
    for entry_id in expired:
        del pending[entry_id]
    return _fail(expired, doubtful, OverloadedError("The entry could not be stored in time; try again."))


def _fail(tickets: dict[str, Ticket], doubtful: set[str], error: OverloadedError | StoreRejectedError) -> int:
    """Answer the tickets with an error; return what goes back: only what was certainly never written."""
    for ticket in tickets.values():
        ticket.fail(error)
    return sum(ticket.entry.amount for entry_id, ticket in tickets.items() if entry_id not in doubtful)
