"""A lane: the queue of one counter in use, and group commit (``docs/design/engine.md``, sections 4 and 5).

A lane has at most one flush in flight; what arrives meanwhile forms the next batch. So there is no added latency at
low load, and the number of writes to a hot counter follows the store's speed, not the callers' number.
Group commit is as old as IMS Fast Path: Gawlick and Kinkade, IEEE Database Engineering 8(2), 1985.

Strict and hybrid enforcement are mirror images in one lane. Strict goes up ahead of the ledger and down behind it;
hybrid goes down ahead of the ledger and up behind it. What goes ahead must count, so it is repeated after an unknown
outcome; what follows must not count twice, so it is not repeated, and it is dropped when a healing came in between.
"""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from random import Random
from typing import Final

import msgspec

from counters.errors import (
    AccountNotFoundError,
    CounterDamagedError,
    CounterError,
    NotAppliedError,
    OutcomeUnknownError,
    OverloadedError,
    StoreRejectedError,
)
from counters.healing.healer import Healer
from counters.keys import CounterKey
from counters.lanes.admission import admit
from counters.lanes.backlog import BATCH_MAX
from counters.lanes.lease import Lease, LeaseSettings
from counters.lanes.refusals import Refusals
from counters.lanes.tickets import Adjustment, Ticket
from counters.lanes.writer import EntryWriter, Written
from counters.model import Change, Changed, Counter, Enforcement
from counters.retry import Pace, repeat
from counters.stores.port import Store
from counters.values.ids import Clock

logger = logging.getLogger(__name__)

_UNFORESEEN: Final = "Something failed, and it is not known whether the entry was stored; look for it, or try again."


class LaneSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of every lane.

    Attributes:
        full_for_s: How long a lane that saw the counter full answers from what it saw, in seconds. Longer costs fewer
            reads; shorter finds room made by other processes sooner.
        queue_max: Most creates under way in one lane; further ones are turned away as overload.
        batch_max: Most creates in one flush, so that no flush starves the event loop.
        idle_s: A lane unused for so long is dropped, in seconds.
        linger_s: Longest time that a batch waits to fill a call while a full call is being written, in seconds.
        queue_max_s: Longest time that creates queue for a ledger that takes less than comes, in seconds; further ones
            are turned away at once rather than at their deadline.
        backlog_max_s: Longest time that it takes such a ledger to take what was let in, in seconds; until then no more
            is. Long enough to keep it busy.
        lease: Bounds of what is reserved ahead.
    """

    full_for_s: float = 0.1
    queue_max: int = 10_000
    batch_max: int = 1_000
    idle_s: float = 10.0
    linger_s: float = 0.01
    queue_max_s: float = 1.0
    backlog_max_s: float = 0.5
    lease: LeaseSettings = LeaseSettings()


class Lane:
    """The queue of one counter in this process, and the only place that changes its ``best_effort``."""

    def __init__(  # noqa: PLR0913 - collaborators, each under its name; a bundle would only hide them
        self, key: CounterKey, store: Store, healer: Healer, *, clock: Clock, random: Random, settings: LaneSettings
    ) -> None:
        self._healer = healer
        self._key = key
        self._store = store
        self._writer = EntryWriter(key, store, random)
        self._clock = clock
        self._random = random
        self._settings = settings
        self._queue: deque[Ticket] = deque()
        self._adjustments: list[Adjustment] = []
        self._in_flight = 0
        self._pace = Pace(random)
        self._lease = Lease(settings.lease)
        self._give_back_timer: asyncio.TimerHandle | None = None
        self._next_flush_at = -math.inf
        self._seen: Counter | None = None
        self._seen_at = -math.inf
        self._flushed_at = -math.inf
        self._refusals = Refusals(key, healer)
        self._worker: asyncio.Task[None] | None = None
        self._writes: set[asyncio.Task[None]] = set()
        self._writing = 0
        self._filled = asyncio.Event()
        self.used_at = 0.0

    @property
    def is_busy(self) -> bool:
        """Whether anything is queued, reserved ahead, in flight or being written."""
        background = self._worker is not None or self._refusals.healing is not None or bool(self._writes)
        return background or self._lease.size > 0

    def submit(self, ticket: Ticket) -> None:
        """Queue a create; its ticket gets the answer.

        Raises:
            OverloadedError: The lane's queue is full, or too long for what the ledger takes.
        """
        if len(self._queue) + self._refusals.waiting + self._writing >= self._settings.queue_max:
            raise OverloadedError("Too many operations wait for this counter; try again.")
        if len(self._queue) > BATCH_MAX and self._is_queue_too_long:
            raise OverloadedError("More is to be stored for this counter than can be in time; try again.")
        self._queue.append(ticket)
        self._wake()

    @property
    def _is_queue_too_long(self) -> bool:
        """Whether the ledger would take longer than bearable for all that queues already."""
        return self._writer.is_behind and len(self._queue) > self._writer.capacity(self._settings.queue_max_s)

    async def adjust(self, delta: int, epoch: int | None, deadline: float) -> None:
        """Add to ``best_effort`` without asking the limit; returns when the flush that carries it is done.

        At the deadline it returns all the same, and the adjustment stays queued until it is flushed.

        Args:
            delta: What to add, negative to take away.
            epoch: See ``Adjustment``.
            deadline: Event loop time, in seconds, until which to wait.
        """
        adjustment = self._queue_adjustment(delta, epoch)
        try:
            async with asyncio.timeout_at(deadline):
                await adjustment.done
        except TimeoutError:
            logger.warning("adjustment.late", extra={"fields": {**self._key._asdict(), "delta": delta}})

    async def look(self, deadline: float) -> Counter:
        """Return the counter with an epoch that is surely current; reads it unless this lane flushed lately.

        A counter is healed only after it was quiet, so within half of that time after a flush it cannot have been.

        Raises:
            AccountNotFoundError: There is no such counter.
            OverloadedError: The store did not answer in time.
        """
        flushed_s = asyncio.get_running_loop().time() - self._flushed_at
        if self._seen is not None and flushed_s < self._healer.quiet_s / 2:
            return self._seen
        asked_at = asyncio.get_running_loop().time()
        counter = await repeat(lambda: self._store.read_counter(self._key), deadline, self._random)
        if counter is None:
            raise AccountNotFoundError(self._key.account_id)
        self._learn(counter, asked_at)
        return counter

    def learn(self, counter: Counter) -> None:
        """Plan with a counter whose terms were changed outside this lane: a new limit holds from the next create on."""
        self._learn(counter)
        # Reserved under the terms of before; a create that comes now is judged by the new ones.
        self._give_back()

    async def drain(self) -> None:
        """Wait until everything that was let in is flushed and written."""
        while self.is_busy:
            self._give_back()
            background = (self._worker, self._refusals.healing, *self._writes)
            await asyncio.wait([task for task in background if task is not None])

    def _queue_adjustment(self, delta: int, epoch: int | None, in_flight: int = 0) -> Adjustment:
        adjustment = Adjustment(delta, epoch, in_flight)
        self._adjustments.append(adjustment)
        self._wake()
        return adjustment

    def _wake(self) -> None:
        if self._worker is None:
            self._worker = asyncio.create_task(self._work(), name=f"lane {self._key}")
        if self._is_filled:
            self._filled.set()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._queue or self._adjustments:
                await self._hold_back()
                await self._fill()
                if self._draw():
                    continue
                if self._next_flush_at > loop.time():
                    await asyncio.sleep(self._next_flush_at - loop.time())
                started_at = loop.time()
                self._next_flush_at = started_at + await self._flush()
        except Exception as error:  # noqa: BLE001 - it is logged, and its callers are answered
            self._log_unforeseen("lane.failed", error)
            self._end(self._queue, self._adjustments, OverloadedError(_UNFORESEEN))
            self._queue.clear()
            self._adjustments.clear()
        finally:
            self._worker = None

    def _log_unforeseen(self, event: str, error: Exception) -> None:
        logger.error(event, exc_info=error, extra={"fields": {**self._key._asdict(), "reason": repr(error)}})

    @property
    def _is_filled(self) -> bool:
        """Whether to flush now: there is enough for a full call, or what is being written would not fill one."""
        return len(self._queue) + len(self._adjustments) >= BATCH_MAX or self._writing < BATCH_MAX

    async def _fill(self) -> None:
        """Let the next batch fill a call while the store is busy with a full one.

        At high load this saves a third of all calls, and their write units; below it, nothing ever waits here.
        """
        if self._is_filled:
            return
        self._filled.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.linger_s):
                await self._filled.wait()

    async def _hold_back(self) -> None:
        """Let nothing in while the ledger has not taken what was; adjustments do not wait."""
        while self._room < 1 and not self._adjustments:  # noqa: ASYNC110  # only under overload
            await asyncio.sleep(self._settings.linger_s)

    @property
    def _room(self) -> float:
        """How many creates may be let in now, as far as it is the ledger's matter."""
        return self._writer.capacity(self._settings.backlog_max_s) - self._writer.backlog

    def _draw(self) -> bool:
        """Let a call's worth of creates in by the lease, without a flush; return whether it was large enough."""
        if self._adjustments or not self._lease.size:
            return False
        tickets = self._take_batch(BATCH_MAX)
        counter = self._lease.draw(sum(ticket.entry.amount for ticket in tickets)) if tickets else None
        if counter is None:
            self._put_back(tickets, [])
            return False
        self._start_write(counter, tickets, is_reserved=True)
        return True

    def _give_back(self) -> None:
        """Release what is left of the lease with the next flush."""
        self._stop_timer()
        left = self._lease.give_back()
        if left:
            self._adjustments += left
            self._wake()

    def _stop_timer(self) -> None:
        """Let go of the timer, also after it rang: it holds the lane, which would stay in memory."""
        if self._give_back_timer is not None:
            self._give_back_timer.cancel()
            self._give_back_timer = None

    async def _flush(self) -> float:
        """Make one try at a flush; return how long after its start the next one may start, in seconds."""
        tickets = self._take_batch(self._settings.batch_max)
        adjustments, self._adjustments = self._adjustments, []
        if not tickets and not adjustments:
            return 0.0
        adjustments += self._lease.give_back()
        try:
            return await self._flush_batch(tickets, adjustments)
        except Exception as error:  # noqa: BLE001 - likewise
            # What was sent may have been applied: so nothing is sent again, and what was reserved stays counted.
            self._log_unforeseen("flush.failed", error)
            self._lease.restrain()
            self._end(tickets, adjustments, OverloadedError(_UNFORESEEN))
            return self._pace.after_silence_s()

    async def _flush_batch(self, tickets: Sequence[Ticket], adjustments: list[Adjustment]) -> float:
        """Decide on a batch and commit what fits; return what ``_flush`` does."""
        try:
            counter = await self._view(tickets, adjustments)
        except (NotAppliedError, OutcomeUnknownError) as error:
            self._put_back(tickets, adjustments)
            throttled = isinstance(error, NotAppliedError)
            return self._pace.after_throttling_s() if throttled else self._pace.after_silence_s()
        except (StoreRejectedError, CounterDamagedError) as error:
            self._end(tickets, adjustments, error)
            return 0.0
        if counter is None:
            self._end(tickets, adjustments, AccountNotFoundError(self._key.account_id))
            return 0.0
        if counter.is_closed:
            # Its account is being deleted: nothing is let in, and what was is still given back.
            self._end(tickets, [], AccountNotFoundError(self._key.account_id))
            tickets = []
        adjustments = self._drop_outdated(counter, adjustments)
        granted = self._refuse_what_does_not_fit(counter, tickets, self._expected(counter, adjustments))
        if counter.enforcement is Enforcement.HYBRID:
            self._in_flight += sum(ticket.entry.amount for ticket in granted)
            self._start_write(counter, granted, is_reserved=False)
            granted = []
        if not granted and not adjustments:
            return 0.0
        return await self._commit(counter, granted, adjustments)

    def _expected(self, counter: Counter, adjustments: Sequence[Adjustment]) -> int:
        """Return the counter's value once everything that this lane knows of is counted."""
        if counter.enforcement is Enforcement.HYBRID:
            # What was written is in flight, and an adjustment at the same time.
            return counter.value + self._in_flight + sum(one.delta - one.in_flight for one in adjustments)
        return counter.value + sum(one.delta for one in adjustments)

    async def _commit(self, counter: Counter, granted: Sequence[Ticket], adjustments: Sequence[Adjustment]) -> float:
        """Write the one change that carries these reservations and adjustments; return what ``_flush`` does."""
        sent_at = asyncio.get_running_loop().time()
        follows = any(one.epoch is not None for one in adjustments)
        amount = sum(ticket.entry.amount for ticket in granted)
        ahead = 0
        if granted and self._room == math.inf:
            ahead = self._lease.wanted(counter, self._expected(counter, adjustments) + amount)
        change = Change(
            delta=amount + ahead + sum(one.delta for one in adjustments),
            admits=bool(granted),
            limit=counter.limit,
            epoch=counter.epoch if follows else None,
            enforcement=Enforcement.HYBRID if any(one.epoch is None for one in adjustments) else None,
            at_ms=self._clock(),
        )
        try:
            outcome = await self._store.change_counter(self._key, change)
        except NotAppliedError:
            self._put_back(granted, adjustments)
            return self._pace.after_throttling_s()
        except OutcomeUnknownError:
            # What goes ahead of the ledger may count twice, never zero times; what follows it may count zero times,
            # never twice.
            self._lease.restrain()
            self._put_back(granted, [one for one in adjustments if one.epoch is None])
            self._finish([one for one in adjustments if one.epoch is not None])
            return self._pace.after_silence_s()
        except (StoreRejectedError, CounterDamagedError) as error:
            self._end(granted, adjustments, error)
            return 0.0
        if outcome.counter is not None and outcome.counter.revision < counter.revision:
            # By hand, as no flush and no healing takes the revision back.
            self._seen = None
        if isinstance(outcome, Changed):
            self._learn(outcome.counter, sent_at)
            self._flushed_at = sent_at
            self._finish(adjustments)
            self._keep(outcome.counter, ahead, sent_at)
            # As the flush was planned: the counter may have become hybrid meanwhile.
            self._start_write(outcome.counter, granted, is_reserved=True)
        elif outcome.counter is None:
            self._end(granted, adjustments, AccountNotFoundError(self._key.account_id))
        else:
            # Somebody else changed the counter: plan again from what the refusal showed.
            self._learn(outcome.counter, sent_at)
            self._put_back(granted, adjustments)
        return self._pace.after_success_s()

    def _keep(self, counter: Counter, ahead: int, sent_at: float) -> None:
        """Put into the lease what was reserved ahead, and see to it that the rest is given back in time."""
        self._stop_timer()
        if ahead:
            until = self._lease.grant(counter, ahead, sent_at)
            self._give_back_timer = asyncio.get_running_loop().call_at(until, self._give_back)
        if counter is not self._seen:
            # Its terms were changed while the answer was on its way.
            self._give_back()

    async def _view(self, tickets: Sequence[Ticket], adjustments: Sequence[Adjustment]) -> Counter | None:
        """Return the counter to plan with: what was seen last, or a fresh look where that could mislead."""
        seen = self._seen
        if seen is not None and self._may_trust(seen, tickets, adjustments):
            return seen
        asked_at = asyncio.get_running_loop().time()
        try:
            counter = await self._store.read_counter(self._key)
        except (NotAppliedError, OutcomeUnknownError):
            if seen is None or seen.enforcement is not Enforcement.HYBRID:
                raise
            if not self._admits_all(seen, tickets, adjustments):
                raise
            if asyncio.get_running_loop().time() - self._seen_at > self._healer.quiet_s / 2:
                # By now it may be strict.
                raise
            # Hybrid callers prefer being let in by an old look to no answer; it is no reason to refuse.
            return seen
        if counter is not None:
            self._learn(counter, asked_at)
        return counter

    def _may_trust(self, seen: Counter, tickets: Sequence[Ticket], adjustments: Sequence[Adjustment]) -> bool:
        if not tickets or asyncio.get_running_loop().time() - self._seen_at < self._settings.full_for_s:
            return True
        if seen.enforcement is not Enforcement.STRICT:
            # Nothing checks the limit after us, so an old look must not admit; nor must it refuse for long.
            return False
        return self._admits_all(seen, tickets, adjustments)

    def _admits_all(self, seen: Counter, tickets: Sequence[Ticket], adjustments: Sequence[Adjustment]) -> bool:
        return all(admit(seen, [ticket.entry.amount for ticket in tickets], self._expected(seen, adjustments)))

    def _take_batch(self, size_max: int) -> list[Ticket]:
        """Take the oldest live tickets out of the queue; those whose time is up are answered."""
        now = asyncio.get_running_loop().time()
        batch: list[Ticket] = []
        room = min(size_max, self._room)
        while self._queue and len(batch) < room:
            ticket = self._queue.popleft()
            if ticket.is_live(now):
                batch.append(ticket)
            else:
                ticket.fail(OverloadedError("The counter could not be changed in time; try again."))
        return batch

    def _put_back(self, tickets: Sequence[Ticket], adjustments: Sequence[Adjustment]) -> None:
        """Undo the taking of a batch: its tickets stay ahead of those that came later."""
        self._queue.extendleft(reversed(tickets))
        self._adjustments[:0] = adjustments

    def _end(self, tickets: Sequence[Ticket], adjustments: Sequence[Adjustment], error: CounterError) -> None:
        """Answer a batch that can never be flushed. What its adjustments follow is done, so they count as done."""
        self._seen = None
        for ticket in tickets:
            ticket.fail(error)
        self._finish(adjustments)

    def _finish(self, adjustments: Sequence[Adjustment]) -> None:
        for adjustment in adjustments:
            adjustment.finish()
            self._in_flight -= adjustment.in_flight

    def _drop_outdated(self, counter: Counter, adjustments: Sequence[Adjustment]) -> list[Adjustment]:
        """End the adjustments that must not be made any more; return the others.

        They follow a change of the ledger in an earlier epoch, or go ahead of one in a counter that was hybrid.
        """
        valid = {counter.epoch, None} if counter.enforcement is Enforcement.HYBRID else {counter.epoch}
        self._finish([one for one in adjustments if one.epoch not in valid])
        return [one for one in adjustments if one.epoch in valid]

    def _refuse_what_does_not_fit(self, counter: Counter, tickets: Sequence[Ticket], in_use: int) -> list[Ticket]:
        """Return the tickets that fit under the limit; refuse the others."""
        granted, refused = [], []
        decisions = admit(counter, [ticket.entry.amount for ticket in tickets], in_use)
        for ticket, fits in zip(tickets, decisions, strict=True):
            if fits:
                granted.append(ticket)
                in_use += ticket.entry.amount
            else:
                refused.append(ticket)
        if refused:
            # Those just granted count too: "479 of 500 in use" would be no reason to refuse.
            self._refusals.refuse(counter, refused, in_use, self._try_again)
        return granted

    def _try_again(self, healed: Counter | None, tickets: list[Ticket]) -> None:
        """Queue those that waited for a healing."""
        if healed is not None:
            self._learn(healed)
        self._put_back(tickets, [])
        self._wake()

    def _learn(self, counter: Counter, asked_at: float = -math.inf) -> None:
        """Plan with this counter from now on, unless a newer one is known.

        Args:
            counter: As it was seen.
            asked_at: Event loop time, in seconds, just before it was asked for: however late the answer is looked at,
                the counter was so after that. Left out where nobody knows.
        """
        seen = self._seen
        if seen is not None and (counter.revision, counter.terms_version) < (seen.revision, seen.terms_version):
            # A read that was overtaken by a flush or by a change of the limit.
            return
        self._seen = counter
        self._seen_at = max(self._seen_at, asked_at)

    def _start_write(self, counter: Counter, tickets: Sequence[Ticket], *, is_reserved: bool) -> None:
        """Write granted entries in the background, while the next flush already runs."""
        if not tickets:
            return
        self._lease.observe(sum(ticket.entry.amount for ticket in tickets))
        self._writing += len(tickets)
        task = asyncio.create_task(self._write(counter, tickets, is_reserved=is_reserved))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def _write(self, counter: Counter, tickets: Sequence[Ticket], *, is_reserved: bool) -> None:
        try:
            written = await self._writer.write(counter.slots, tickets)
        except Exception as error:  # noqa: BLE001 - likewise
            self._log_unforeseen("write.failed", error)
            for ticket in tickets:
                ticket.fail(OverloadedError(_UNFORESEEN))
            written = Written.of(tickets)
        finally:
            self._writing -= len(tickets)
            if self._is_filled:
                self._filled.set()
        if not is_reserved:
            # In flight until they are counted: those that were stored, by the adjustment.
            self._in_flight -= sum(ticket.entry.amount for ticket in tickets) - written.stored
            if written.stored:
                self._queue_adjustment(written.stored, counter.epoch, in_flight=written.stored)
        elif written.unused:
            self._queue_adjustment(-written.unused, counter.epoch)
