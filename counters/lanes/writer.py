"""Writing admitted entries to the ledger, a page a call (``docs/design/engine.md``, section 4, step 2).

Each ticket leaves in one of three ways: its entry is durable; or it is proven that the entry was never written; or
nobody knows. In strict mode a ticket comes with a reservation, which goes back only in the second case, as every doubt
is resolved upward.

After an unknown outcome the same page is sent again until the answer is known. A page is stored only if its key is
free, and it keeps its key when its entries are deleted. So of all tries at most one is applied, however late one comes.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from random import Random
from typing import NamedTuple

from counters.errors import NotAppliedError, OutcomeUnknownError, StoreRejectedError
from counters.keys import Ledger
from counters.lanes.backlog import Backlog
from counters.lanes.insert import Insert
from counters.lanes.paging import fill_pages
from counters.lanes.tickets import Ticket
from counters.retry import Backoff
from counters.stores.port import Store
from counters.values.ids import Clock


class Written(NamedTuple):
    """The amounts of a batch after its write. An amount in neither sum is in doubt.

    Attributes:
        stored: Sum of the durable entries.
        unused: Sum of the entries that were certainly not stored, or were there before.
    """

    stored: int
    unused: int

    @classmethod
    def of(cls, tickets: Iterable[Ticket], unused: int = 0) -> "Written":
        """Return the amounts of tickets whose writes are over."""
        return cls(stored=_sum(ticket for ticket in tickets if ticket.is_stored), unused=unused)


class EntryWriter:
    """Writes a counter's entries until each ticket's deadline and answers the callers."""

    def __init__(self, store: Store, clock: Clock, random: Random) -> None:
        self._store = store
        self._random = random
        self._backlog = Backlog(store, clock, random)
        self._inserts_waiting = 0

    @property
    def backlog(self) -> int:
        """How many entries wait because the ledger refused them."""
        return self._backlog.size + self._inserts_waiting

    @property
    def is_saturated(self) -> bool:
        """Whether the ledger has refused entries for more than a moment."""
        return self._backlog.is_saturated

    def capacity(self, seconds: float) -> float:
        """Return how many entries the ledger takes within these seconds: infinity while it refuses none."""
        return self._backlog.capacity(seconds)

    async def write(self, ledger: Ledger, tickets: Sequence[Ticket]) -> Written:
        """Write the entries of admitted tickets and answer them.

        Args:
            ledger: Where to write them, the same at each call.
            tickets: Whose entries to write.
        """
        fresh = [ticket for ticket in tickets if not ticket.has_own_id]
        writes = [self._write_page(ledger, page) for page in fill_pages(ledger, fresh)]
        writes += [self._insert(ledger, ticket) for ticket in tickets if ticket.has_own_id]
        return Written.of(tickets, await _sum_of_all(writes))

    async def _write_page(self, ledger: Ledger, tickets: Sequence[Ticket]) -> int:
        """Write entries under ids of ours; return the sum of the ones that were certainly not stored."""
        now = asyncio.get_running_loop().time()
        live = [ticket for ticket in tickets if not ticket.expire_if_late(now)]
        unused = _sum(tickets) - _sum(live)
        if not live:
            return unused
        try:
            async with asyncio.timeout_at(max(ticket.deadline for ticket in live)):
                is_stored = await self._backlog.try_at_once(ledger, live)
        except (OutcomeUnknownError, TimeoutError):
            await self._backlog.resolve(ledger, live)
            return unused
        except StoreRejectedError as error:
            return unused + _fail(live, error)
        if not is_stored:
            unused += await _sum_of_all([self._write_later(ledger, ticket) for ticket in live])
        return unused

    async def _write_later(self, ledger: Ledger, ticket: Ticket) -> int:
        """Write an entry when its turn comes; return its amount when it was certainly not stored, else 0."""
        try:
            is_unused = not await self._backlog.write(ledger, ticket)
        except StoreRejectedError as error:
            return _fail([ticket], error)
        return ticket.entry.amount if is_unused else 0

    async def _insert(self, ledger: Ledger, ticket: Ticket) -> int:
        """Write an entry under the caller's own id, unless the id is taken; return what ``_write_later`` does."""
        insert = Insert(self._store, ledger, ticket)
        backoff = Backoff(self._random)
        while not ticket.expire_if_late(asyncio.get_running_loop().time()):
            try:
                is_over = await insert.send()
            except NotAppliedError:
                self._backlog.observe(entries=1, is_taken=False)
                self._inserts_waiting += 1
                await asyncio.sleep(backoff.next_s())
                self._inserts_waiting -= 1
            except (OutcomeUnknownError, TimeoutError):
                await asyncio.sleep(backoff.next_s())
            except StoreRejectedError as error:
                ticket.fail(error)
                break
            else:
                self._backlog.observe(entries=1, is_taken=True)
                if is_over:
                    break
        return insert.unused


async def _sum_of_all(writes: Sequence[Coroutine[None, None, int]]) -> int:
    """Return the sum of all results. An error is raised only when all are over, so that none goes on unseen."""
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
