"""A lane's backlog: entries that the ledger did not take at once (``docs/design/engine.md``, section 4, step 2).

A slot of a ledger takes 1,000 pages a second from all processes together. Entries whose page it refuses wait here, in
one line for all batches. One call at a time writes a page of them, as full as it gets. The rate that the ledger takes
sets the time of the next call. If each page were repeated by itself, the number of calls would grow while less gets
through.
"""

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from random import Random
from typing import Final, NamedTuple

from counters.errors import NotAppliedError, OutcomeUnknownError, OverloadedError, StoreRejectedError
from counters.keys import PLACE_MAX, Ledger
from counters.lanes.pacing import Rate, Recent
from counters.lanes.paging import fill_pages, place
from counters.lanes.tickets import Ticket
from counters.retry import Backoff
from counters.stores.port import Store
from counters.values.ids import Clock

BATCH_MAX: Final = 25
"""So many entries make a call worth its while: about what a page holds with names of 32 bytes."""


class _Waiting(NamedTuple):
    ticket: Ticket
    is_written: asyncio.Future[bool]


class Backlog:
    """Writes the entries that batches left over, the oldest first."""

    def __init__(self, store: Store, clock: Clock, random: Random) -> None:
        self._store = store
        self._clock = clock
        self._random = random
        self._rate = Rate()
        self._taken = Recent()
        self._next_at = -math.inf
        self._line: deque[_Waiting] = deque()
        self._under_way = 0
        self._worker: asyncio.Task[None] | None = None
        self._resolving: set[asyncio.Task[None]] = set()

    @property
    def size(self) -> int:
        """How many entries wait, including the ones in the call under way."""
        return len(self._line) + self._under_way

    @property
    def is_free(self) -> bool:
        """Whether nothing waits and the ledger has refused nothing lately."""
        return not self.size and self._rate.is_free(asyncio.get_running_loop().time())

    @property
    def is_saturated(self) -> bool:
        """Whether the ledger has refused entries for more than a moment."""
        return self._rate.is_known(asyncio.get_running_loop().time())

    def capacity(self, seconds: float) -> float:
        """Return how many entries the ledger takes within these seconds: infinity while it refuses none."""
        return math.inf if self.is_free else max(BATCH_MAX, self._taken.per_s * seconds)

    def observe(self, *, entries: int, is_taken: bool) -> None:
        """Add the outcome of a call that was made here or by the writer: one page of so many entries."""
        now = asyncio.get_running_loop().time()
        self._rate.observe(now, int(is_taken), int(not is_taken))
        if is_taken:
            self._taken.observe(now, entries)

    async def try_at_once(self, ledger: Ledger, page: Sequence[Ticket]) -> bool:
        """Send a page now if the backlog is free; return whether it was stored. If not, it is still to be written.

        Args:
            ledger: Where to write it, the same at each call.
            page: Whose entries to write, no more than a page holds.

        Raises:
            OutcomeUnknownError: It may or may not be stored.
            StoreRejectedError: The store refuses it for good.
        """
        return self.is_free and await self._call(ledger, page)

    async def write(self, ledger: Ledger, ticket: Ticket) -> bool:
        """Write an entry when its turn comes.

        Args:
            ledger: Where to write it, the same at each call.
            ticket: Whose entry to write.

        Returns:
            True when it is stored, or nobody could find out in time. False when it was certainly not stored.

        Raises:
            StoreRejectedError: The store refuses it for good.
        """
        waiting = _Waiting(ticket, asyncio.get_running_loop().create_future())
        self._line.append(waiting)
        if self._worker is None:
            self._worker = asyncio.create_task(self._work(ledger))
        return await waiting.is_written

    async def resolve(self, ledger: Ledger, page: Sequence[Ticket]) -> None:
        """Send a page again whose write was not answered, until it is known to be stored or the time is over."""
        loop = asyncio.get_running_loop()
        until = max(ticket.deadline for ticket in page)
        backoff = Backoff(self._random)
        while loop.time() < until:
            try:
                async with asyncio.timeout_at(until):
                    await asyncio.sleep(backoff.next_s())
                    await self._store.insert_page(ledger, [ticket.entry for ticket in page])
            except (NotAppliedError, OutcomeUnknownError, TimeoutError):
                continue
            except StoreRejectedError:
                break
            for ticket in page:
                ticket.store()
            return
        for ticket in page:
            ticket.fail(OverloadedError("It is not known whether the entry was stored; look for it, or try again."))

    async def _work(self, ledger: Ledger) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._line:
                await asyncio.sleep(self._next_at - loop.time())
                page = self._take(ledger)
                if page:
                    await self._repeat(ledger, page)
        except Exception as error:  # noqa: BLE001 - each of those who wait gets it, and their lane logs it
            for waiting in self._line:
                _fail(waiting.is_written, error)
            self._line.clear()
        finally:
            self._worker = None

    def _take(self, ledger: Ledger) -> dict[Ticket, asyncio.Future[bool]]:
        """Take the oldest entries, as many as a page holds. An entry whose deadline has passed is done."""
        now = asyncio.get_running_loop().time()
        live: dict[Ticket, asyncio.Future[bool]] = {}
        while self._line and len(live) < PLACE_MAX:
            ticket, is_written = self._line.popleft()
            if ticket.expire_if_late(now):
                _resolve(is_written, result=False)
            else:
                live[ticket] = is_written
        if not live:
            return {}
        _, *rest = fill_pages(ledger, [*live])
        self._put_back([ticket for one in rest for ticket in one], live)
        return live

    def _put_back(self, tickets: Sequence[Ticket], taken: dict[Ticket, asyncio.Future[bool]]) -> None:
        """Put tickets that were taken back in front of the line."""
        self._line.extendleft(_Waiting(ticket, taken.pop(ticket)) for ticket in reversed(tickets))

    async def _repeat(self, ledger: Ledger, page: dict[Ticket, asyncio.Future[bool]]) -> None:
        self._under_way = len(page)
        try:
            # No timeout at the first deadline: it would leave all entries in doubt. A caller who is out of time has
            # been answered by then, and the client bounds each call.
            is_stored = await self._call(ledger, [*page])
        except OutcomeUnknownError:
            # The next page does not wait for the end of the doubt.
            resolving = asyncio.create_task(self._resolve(ledger, page))
            self._resolving.add(resolving)
            resolving.add_done_callback(self._resolving.discard)
            return
        except Exception as error:  # noqa: BLE001 - each of those who wait gets it, and their lane logs what is unforeseen
            for is_written in page.values():
                _fail(is_written, error)
            return
        finally:
            self._under_way = 0
        if not is_stored:
            self._put_back([*page], page)
        for is_written in page.values():
            _resolve(is_written, result=True)

    async def _resolve(self, ledger: Ledger, page: dict[Ticket, asyncio.Future[bool]]) -> None:
        try:
            await self.resolve(ledger, [*page])
        except Exception as error:  # noqa: BLE001 - each of those who wait gets it, and their lane logs it
            for is_written in page.values():
                _fail(is_written, error)
        for is_written in page.values():
            _resolve(is_written, result=True)

    async def _call(self, ledger: Ledger, page: Sequence[Ticket]) -> bool:
        """Write a page, answer its tickets, and set the time of the next call; return whether it was stored.

        After a page that was stored the next one follows at once. So a moment of throttling is soon over. After any
        other call the next one waits for the rate. A call without an answer counts as one of which nothing was taken.

        Raises:
            OutcomeUnknownError: It may or may not be stored.
            StoreRejectedError: The store refuses it for good.
        """
        started_at = asyncio.get_running_loop().time()
        is_stored = False
        place(page, self._clock, self._random)
        try:
            await self._store.insert_page(ledger, [ticket.entry for ticket in page])
        except NotAppliedError:
            self.observe(entries=len(page), is_taken=False)
        else:
            is_stored = True
            self.observe(entries=len(page), is_taken=True)
            for ticket in page:
                ticket.store()
        finally:
            pause_s = self._rate.pause_s() * self._random.uniform(0.5, 1.5)
            self._next_at = started_at if is_stored else started_at + pause_s
        return is_stored


def _resolve(is_written: asyncio.Future[bool], *, result: bool) -> None:
    if not is_written.done():
        is_written.set_result(result)


def _fail(is_written: asyncio.Future[bool], error: Exception) -> None:
    if not is_written.done():
        is_written.set_exception(error)
