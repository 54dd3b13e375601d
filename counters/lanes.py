"""Lanes: one queue for each counter in use, and group commit (``docs/design.md``, section 4).

A lane has at most one flush in flight; what arrives meanwhile forms the next batch. So there is no timer and no added
latency at low load, and the number of writes to a hot counter follows the store's speed, not the callers' number.
Group commit is as old as IMS Fast Path: Gawlick and Kinkade, IEEE Database Engineering 8(2), 1985.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from random import Random

import msgspec

from counters.admission import admit
from counters.errors import (
    AccountNotFoundError,
    CounterError,
    LimitReachedError,
    NotAppliedError,
    OutcomeUnknownError,
    OverloadedError,
    StoreRejectedError,
)
from counters.ids import Clock
from counters.keys import CounterKey
from counters.model import Change, Changed, Counter
from counters.retry import Backoff, repeat
from counters.store import Store
from counters.tickets import Ticket
from counters.writer import EntryWriter

logger = logging.getLogger(__name__)


class LaneSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of every lane.

    Attributes:
        full_for_s: How long a lane that saw the counter full answers from what it saw, in seconds. Longer costs fewer
            reads; shorter finds room made by other processes sooner.
        queue_max: Most creates under way in one lane; further ones are turned away as overload.
        batch_max: Most creates in one flush, so that no flush starves the event loop.
        idle_s: A lane unused for so long is dropped, in seconds.
    """

    full_for_s: float = 0.1
    queue_max: int = 10_000
    batch_max: int = 1_000
    idle_s: float = 10.0


class Release:
    """An amount on its way back to the counter, and who waits for it."""

    __slots__ = ("amount", "done")

    def __init__(self, amount: int) -> None:
        self.amount = amount
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def finish(self) -> None:
        """Let the waiting deleter go on, if it still waits."""
        if not self.done.done():
            self.done.set_result(None)


class Lane:
    """The queue of one counter in this process, and the only place that changes its ``best_effort``."""

    def __init__(self, key: CounterKey, store: Store, clock: Clock, random: Random, settings: LaneSettings) -> None:
        self._key = key
        self._store = store
        self._writer = EntryWriter(store, random)
        self._clock = clock
        self._random = random
        self._settings = settings
        self._queue: deque[Ticket] = deque()
        self._releases: list[Release] = []
        self._seen: Counter | None = None
        self._seen_at = 0.0
        self._worker: asyncio.Task[None] | None = None
        self._writes: set[asyncio.Task[None]] = set()
        self._writing = 0
        self.used_at = 0.0

    @property
    def is_busy(self) -> bool:
        """Whether anything is queued, in flight or being written."""
        return self._worker is not None or bool(self._writes)

    def submit(self, ticket: Ticket) -> None:
        """Queue a create; its ticket gets the answer.

        Raises:
            OverloadedError: The lane's queue is full.
        """
        if len(self._queue) + self._writing >= self._settings.queue_max:
            raise OverloadedError("Too many operations wait for this counter; try again.")
        self._queue.append(ticket)
        self._wake()

    async def release(self, amount: int, deadline: float) -> None:
        """Give back what a deleted entry counted; returns when the flush that carries it is done.

        At the deadline it returns all the same: the entry is gone, and the release stays queued until it is flushed.
        """
        release = self._give_back(amount)
        try:
            async with asyncio.timeout_at(deadline):
                await release.done
        except TimeoutError:
            logger.warning("release.late", extra={"fields": {**self._key._asdict(), "amount": amount}})

    async def look(self, deadline: float) -> Counter:
        """Return the counter as last seen by this lane; reads it when the lane is new.

        Raises:
            AccountNotFoundError: There is no such counter.
            OverloadedError: The store did not answer in time.
        """
        if self._seen is not None:
            return self._seen
        counter = await repeat(lambda: self._store.read_counter(self._key), deadline, self._random)
        if counter is None:
            raise AccountNotFoundError(self._key.account_id)
        self._learn(counter)
        return counter

    async def drain(self) -> None:
        """Wait until everything that was let in is flushed and written."""
        while self.is_busy:
            tasks = {*self._writes, *([self._worker] if self._worker else [])}
            await asyncio.wait(tasks)

    def _give_back(self, amount: int) -> Release:
        release = Release(amount)
        self._releases.append(release)
        self._wake()
        return release

    def _wake(self) -> None:
        if self._worker is None:
            self._worker = asyncio.create_task(self._work(), name=f"lane {self._key}")

    async def _work(self) -> None:
        backoff = Backoff(self._random)
        try:
            while self._queue or self._releases:
                if await self._flush():
                    backoff.reset()
                else:
                    await asyncio.sleep(backoff.next_s())
        finally:
            self._worker = None

    async def _flush(self) -> bool:
        """Make one try at a flush; False when the store was in trouble and waiting makes sense."""
        tickets = self._take_batch()
        releases, self._releases = self._releases, []
        if not tickets and not releases:
            return True
        released = sum(release.amount for release in releases)
        try:
            counter = await self._view(tickets, released)
        except (NotAppliedError, OutcomeUnknownError):
            self._put_back(tickets, releases)
            return False
        except StoreRejectedError as error:
            self._end(tickets, releases, error)
            return True
        if counter is None:
            self._end(tickets, releases, AccountNotFoundError(self._key.account_id))
            return True
        granted = _refuse_what_does_not_fit(counter, tickets, released)
        if not granted and not releases:
            return True
        return await self._commit(counter, granted, releases)

    async def _commit(self, counter: Counter, granted: Sequence[Ticket], releases: Sequence[Release]) -> bool:
        """Write the one change that carries these reservations and releases."""
        change = Change(
            reserve=sum(ticket.entry.amount for ticket in granted),
            release=sum(release.amount for release in releases),
            limit=counter.limit,
            at_ms=self._clock(),
        )
        try:
            outcome = await self._store.change_counter(self._key, change)
        except NotAppliedError:
            self._put_back(granted, releases)
            return False
        except OutcomeUnknownError:
            # The one-sided rule: a reserve may count twice, never zero times; a release may count zero times, never
            # twice. So the reserves are repeated and the releases are not.
            self._put_back(granted, [])
            self._finish(releases)
            return False
        except StoreRejectedError as error:
            self._end(granted, releases, error)
            return True
        if isinstance(outcome, Changed):
            self._learn(outcome.counter)
            self._finish(releases)
            self._start_write(outcome.counter.slots, granted)
        elif outcome.counter is None:
            self._end(granted, releases, AccountNotFoundError(self._key.account_id))
        else:
            # Somebody else changed the counter: plan again from what the refusal showed.
            self._learn(outcome.counter)
            self._put_back(granted, releases)
        return True

    async def _view(self, tickets: Sequence[Ticket], released: int) -> Counter | None:
        """Return the counter to plan with: what was seen last, or a fresh look when that is old and says full."""
        seen = self._seen
        if seen is not None:
            age_s = asyncio.get_running_loop().time() - self._seen_at
            if age_s < self._settings.full_for_s or all(admit(seen, [t.entry.amount for t in tickets], released)):
                return seen
        counter = await self._store.read_counter(self._key)
        if counter is not None:
            self._learn(counter)
        return counter

    def _take_batch(self) -> list[Ticket]:
        """Take the oldest live tickets out of the queue; those whose time is up are answered."""
        now = asyncio.get_running_loop().time()
        batch: list[Ticket] = []
        while self._queue and len(batch) < self._settings.batch_max:
            ticket = self._queue.popleft()
            if ticket.is_live(now):
                batch.append(ticket)
            else:
                ticket.fail(OverloadedError("The counter could not be changed in time; try again."))
        return batch

    def _put_back(self, tickets: Sequence[Ticket], releases: Sequence[Release]) -> None:
        """Undo the taking of a batch: its tickets stay ahead of those that came later."""
        self._queue.extendleft(reversed(tickets))
        self._releases[:0] = releases

    def _end(self, tickets: Sequence[Ticket], releases: Sequence[Release], error: CounterError) -> None:
        """Answer a batch that can never be flushed. Its entries are deleted already, so its deleters succeed."""
        self._seen = None
        for ticket in tickets:
            ticket.fail(error)
        self._finish(releases)

    @staticmethod
    def _finish(releases: Sequence[Release]) -> None:
        for release in releases:
            release.finish()

    def _learn(self, counter: Counter) -> None:
        self._seen = counter
        self._seen_at = asyncio.get_running_loop().time()

    def _start_write(self, slots: int, tickets: Sequence[Ticket]) -> None:
        """Write granted entries in the background, while the next flush already runs."""
        if not tickets:
            return
        self._writing += len(tickets)
        task = asyncio.create_task(self._write(slots, tickets))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def _write(self, slots: int, tickets: Sequence[Ticket]) -> None:
        try:
            surplus = await self._writer.write(self._key, slots, tickets)
        finally:
            self._writing -= len(tickets)
        if surplus:
            self._give_back(surplus)


class Lanes:
    """All lanes of a process. Memory follows the counters in use: a lane that idles is dropped."""

    def __init__(self, store: Store, clock: Clock, random: Random, settings: LaneSettings) -> None:
        self._store = store
        self._clock = clock
        self._random = random
        self._settings = settings
        self._lanes: dict[CounterKey, Lane] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    def __len__(self) -> int:
        """Return the number of lanes in memory."""
        return len(self._lanes)

    def open(self, key: CounterKey) -> Lane:
        """Return the counter's lane, a new one if need be.

        Raises:
            OverloadedError: The process is shutting down.
        """
        if self._closed:
            raise OverloadedError("The service is shutting down; try again.")
        # Re-inserted on each use, so that the dict stays in order of use and a sweep looks at the oldest only.
        lane = self._lanes.pop(key, None) or Lane(key, self._store, self._clock, self._random, self._settings)
        self._lanes[key] = lane
        lane.used_at = asyncio.get_running_loop().time()
        if self._sweep is None:
            self._schedule_sweep()
        return lane

    async def drain(self) -> None:
        """Let no new operation in, and wait for those that are."""
        self._closed = True
        await asyncio.gather(*(lane.drain() for lane in list(self._lanes.values())))
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    def _schedule_sweep(self) -> None:
        self._sweep = asyncio.get_running_loop().call_later(self._settings.idle_s / 2, self._drop_idle)

    def _drop_idle(self) -> None:
        self._sweep = None
        oldest_use = asyncio.get_running_loop().time() - self._settings.idle_s
        for key, lane in list(self._lanes.items()):
            if lane.used_at > oldest_use:
                break
            if not lane.is_busy:
                del self._lanes[key]
        if self._lanes:
            self._schedule_sweep()


def _refuse_what_does_not_fit(counter: Counter, tickets: Sequence[Ticket], released: int) -> list[Ticket]:
    """Answer the tickets that do not fit under the limit; return those that do."""
    granted = []
    in_use = counter.value - released
    decisions = admit(counter, [ticket.entry.amount for ticket in tickets], released)
    for ticket, fits in zip(tickets, decisions, strict=True):
        if fits:
            granted.append(ticket)
            in_use += ticket.entry.amount
        elif counter.limit is not None:
            # Those just granted count too: "479 of 500 in use" would be no reason to refuse.
            ticket.fail(LimitReachedError(counter.limit, in_use))
    return granted
