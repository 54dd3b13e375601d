"""A lane: the queue of one counter in use, and group commit (``docs/design/engine.md``, sections 4 and 5).

A lane has at most one flush in flight; what arrives meanwhile forms the next batch. So there is no added latency at
low load, and the number of writes to a hot counter follows the store's speed, not the callers' number.
Group commit is as old as IMS Fast Path: Gawlick and Kinkade, IEEE Database Engineering 8(2), 1985.
"""

import asyncio
import logging
import math
from contextlib import suppress
from random import Random
from typing import Final, TypeAlias

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
from counters.lanes.backlog import BATCH_MAX
from counters.lanes.lease import Lease
from counters.lanes.pacing import Pace
from counters.lanes.planner import Planner
from counters.lanes.queue import Batch, Queue
from counters.lanes.refusals import Refusals
from counters.lanes.settings import LaneSettings
from counters.lanes.tickets import Adjustment, Ticket
from counters.lanes.view import View
from counters.lanes.writer import EntryWriter, Written
from counters.model import Change, Changed, Counter, Refused
from counters.stores.port import Store
from counters.values.ids import Clock

logger = logging.getLogger(__name__)

_UNFORESEEN: Final = "Something failed, and it is not known whether the entry was stored; look for it, or try again."

_Failure: TypeAlias = NotAppliedError | OutcomeUnknownError | StoreRejectedError | CounterDamagedError


class Lane:
    """The queue of one counter in this process, and the only place that changes its ``best_effort``."""

    def __init__(  # noqa: PLR0913 - collaborators, each under its name; a bundle would only hide them
        self, key: CounterKey, store: Store, healer: Healer, *, clock: Clock, random: Random, settings: LaneSettings
    ) -> None:
        self._key = key
        self._store = store
        self._clock = clock
        self._settings = settings
        self._queue = Queue()
        self._view = View(key, store, random, healer.quiet_s)
        self._planner = Planner(self._view, healer.quiet_s, settings.full_for_s)
        self._lease = Lease(settings.lease)
        self._give_back_timer: asyncio.TimerHandle | None = None
        self._pace = Pace(random)
        self._refusals = Refusals(key, healer)
        self._writer = EntryWriter(key, store, random)
        self._writing = 0
        self._filled = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._healing: asyncio.Task[None] | None = None
        self._writes: set[asyncio.Task[None]] = set()
        self.used_at = 0.0

    # What callers ask

    @property
    def is_busy(self) -> bool:
        """Whether anything is queued, reserved ahead, in flight or being written."""
        return bool(self._worker or self._healing or self._writes or self._lease.size > 0)

    def submit(self, ticket: Ticket) -> None:
        """Queue a create; its ticket gets the answer.

        Raises:
            OverloadedError: The lane's queue is full, or too long for what the ledger takes.
        """
        creates = self._queue.creates
        if creates + self._refusals.waiting + self._writing >= self._settings.queue_max:
            raise OverloadedError("Too many operations wait for this counter; try again.")
        if creates > BATCH_MAX and self._is_queue_too_long:
            raise OverloadedError("More is to be stored for this counter than can be in time; try again.")
        self._enqueue(ticket)

    @property
    def _is_queue_too_long(self) -> bool:
        """Whether the ledger would take longer than bearable for all that queues already."""
        return self._writer.is_saturated and self._queue.creates > self._writer.capacity(self._settings.queue_max_s)

    async def adjust(self, delta: int, epoch: int | None, deadline: float) -> None:
        """Add to ``best_effort`` without asking the limit; returns when the flush that carries it is done.

        At the deadline it returns all the same, and the adjustment stays queued until it is flushed.

        Args:
            delta: What to add, negative to take away.
            epoch: See ``Adjustment``.
            deadline: Event loop time, in seconds, until which to wait.
        """
        adjustment = Adjustment(delta, epoch)
        self._enqueue(adjustment)
        try:
            async with asyncio.timeout_at(deadline):
                await adjustment.done
        except TimeoutError:
            logger.warning("adjustment.late", extra={"fields": {**self._key._asdict(), "delta": delta}})

    async def look(self, deadline: float) -> Counter:
        """Return the counter with an epoch that is surely current; see ``View.look_at_epoch``."""
        return await self._view.look_at_epoch(deadline)

    def learn(self, counter: Counter) -> None:
        """Plan with a counter whose terms were changed outside this lane: a new limit holds from the next create on."""
        self._view.learn(counter)
        # Reserved under the terms of before; a create that comes now is judged by the new ones.
        self._give_back()

    async def drain(self) -> None:
        """Wait until everything that was let in is flushed and written."""
        while self.is_busy:
            self._give_back()
            background = (self._worker, self._healing, *self._writes)
            await asyncio.wait([task for task in background if task is not None])

    # The worker: one batch after the other

    def _enqueue(self, waiting: Ticket | Adjustment) -> None:
        self._queue.add(waiting)
        self._wake()

    def _wake(self) -> None:
        if self._worker is None:
            self._worker = asyncio.create_task(self._work(), name=f"lane {self._key}")
        if self._is_filled:
            self._filled.set()

    async def _work(self) -> None:
        try:
            while self._queue:
                await self._hold_back()
                await self._linger()
                if not self._draw():
                    await self._pace.wait()
                    await self._flush()
        except Exception as error:  # noqa: BLE001 - it is logged, and its callers are answered
            self._log_unforeseen("lane.failed", error)
            self._end(self._queue.take_all(), OverloadedError(_UNFORESEEN))
        finally:
            self._worker = None

    def _log_unforeseen(self, event: str, error: Exception) -> None:
        logger.error(event, exc_info=error, extra={"fields": {**self._key._asdict(), "reason": repr(error)}})

    async def _hold_back(self) -> None:
        """Let nothing in while the ledger has not taken what was; adjustments do not wait."""
        while self._room < 1 and not self._queue.adjustments:  # noqa: ASYNC110  # only under overload
            await asyncio.sleep(self._settings.linger_s)

    @property
    def _room(self) -> float:
        """How many creates may be let in now, as far as it is the ledger's matter."""
        return self._writer.capacity(self._settings.backlog_max_s) - self._writer.backlog

    async def _linger(self) -> None:
        """Let the next batch fill a call while the store is busy with a full one.

        At high load this saves a third of all calls, and their write units; below it, nothing ever waits here.
        """
        if self._is_filled:
            return
        self._filled.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.linger_s):
                await self._filled.wait()

    @property
    def _is_filled(self) -> bool:
        """Whether to flush now: there is enough for a full call, or what is being written would not fill one."""
        return len(self._queue) >= BATCH_MAX or self._writing < BATCH_MAX

    def _take_tickets(self, size_max: int) -> list[Ticket]:
        return self._queue.take_tickets(min(size_max, self._room), asyncio.get_running_loop().time())

    # The lease: creates that need no flush

    def _draw(self) -> bool:
        """Let a call's worth of creates in by the lease, without a flush; return whether it was large enough."""
        if self._queue.adjustments or not self._lease.size:
            return False
        batch = Batch(self._take_tickets(BATCH_MAX), [])
        counter = self._lease.draw(batch.amount) if batch.tickets else None
        if counter is None:
            self._queue.put_back(batch)
            return False
        self._start_write(counter, batch, is_reserved=True)
        return True

    def _keep_ahead(self, counter: Counter, ahead: int, sent_at: float) -> None:
        """Keep what was reserved ahead, and see to it that the rest is given back in time."""
        self._stop_timer()
        if ahead:
            until = self._lease.grant(counter, ahead, sent_at)
            self._give_back_timer = asyncio.get_running_loop().call_at(until, self._give_back)
        if counter is not self._view.seen:
            # Its terms were changed while the answer was on its way.
            self._give_back()

    def _give_back(self) -> None:
        """Release what is left of the lease with the next flush."""
        self._stop_timer()
        for adjustment in self._lease.give_back():
            self._enqueue(adjustment)

    def _stop_timer(self) -> None:
        """Let go of the timer, also after it rang: it holds the lane, which would stay in memory."""
        if self._give_back_timer is not None:
            self._give_back_timer.cancel()
            self._give_back_timer = None

    # The road of a batch: take, look, plan, one write, and what its outcome means

    async def _flush(self) -> None:
        batch = Batch(self._take_tickets(self._settings.batch_max), self._queue.take_adjustments())
        if not batch.tickets and not batch.adjustments:
            return
        batch = Batch(batch.tickets, [*batch.adjustments, *self._lease.give_back()])
        try:
            await self._flush_batch(batch)
        except Exception as error:  # noqa: BLE001 - likewise
            # What was sent may have been applied: so nothing is sent again, and what was reserved stays counted.
            self._log_unforeseen("flush.failed", error)
            self._lease.restrain()
            self._end(batch, OverloadedError(_UNFORESEEN))
            self._pace.back_off()

    async def _flush_batch(self, batch: Batch) -> None:
        match await self._look(batch):
            case Counter() as counter:
                await self._carry_out(counter, batch)
            case None:
                self._end(batch, AccountNotFoundError(self._key.account_id))
            case NotAppliedError():
                self._queue.put_back(batch)
                self._pace.slow_down()
            case OutcomeUnknownError():
                self._queue.put_back(batch)
                self._pace.back_off()
            case error:
                self._end(batch, error)

    async def _look(self, batch: Batch) -> Counter | _Failure | None:
        """Return the counter to plan with: what was seen last, or a fresh look where that could mislead."""
        seen = self._view.seen
        if seen is not None and self._planner.may_trust(seen, batch):
            return seen
        try:
            return await self._view.look()
        except (NotAppliedError, OutcomeUnknownError) as error:
            return seen if seen is not None and self._planner.may_rely_on(seen, batch) else error
        except (StoreRejectedError, CounterDamagedError) as error:
            return error

    async def _carry_out(self, counter: Counter, batch: Batch) -> None:
        """Refuse what does not fit, write what needs no reservation, and make the one write for the rest."""
        if counter.is_closed:
            # Its account is being deleted: nothing is let in, and what was is still given back.
            self._end(Batch(batch.tickets, []), AccountNotFoundError(self._key.account_id))
            batch = Batch([], batch.adjustments)
        plan = self._planner.plan(counter, batch)
        self._planner.finish(plan.outdated)
        # What was granted just now counts too: "479 of 500 in use" would be no reason to refuse.
        if plan.refused and self._refusals.refuse(counter, plan.refused, plan.in_use):
            self._healing = asyncio.create_task(self._heal())
        self._start_write(counter, plan.unreserved, is_reserved=False)
        if plan.reserved.tickets or plan.reserved.adjustments:
            await self._commit(counter, plan.reserved, plan.in_use)

    async def _heal(self) -> None:
        """Heal the counter, and queue again the creates that waited for it."""
        healed, tickets = await self._refusals.heal()
        self._healing = None
        if healed is not None:
            self._view.learn(healed)
        self._queue.put_back(Batch(tickets, []))
        self._wake()

    async def _commit(self, counter: Counter, batch: Batch, in_use: int) -> None:
        """Make the one write of a batch, and do what its outcome asks for."""
        sent_at = asyncio.get_running_loop().time()
        ahead = self._lease.wanted(counter, in_use) if batch.tickets and self._room == math.inf else 0
        outcome = await self._try_to_change(self._planner.change(counter, batch, ahead, self._clock()))
        if isinstance(outcome, Changed | Refused):
            self._pace.succeed()
            if outcome.counter is not None and outcome.counter.revision < counter.revision:
                # By hand, as no flush and no healing takes the revision back.
                self._view.forget()
        match outcome:
            case Changed(changed):
                self._view.learn_from_flush(changed, sent_at)
                self._planner.finish(batch.adjustments)
                self._keep_ahead(changed, ahead, sent_at)
                # As the flush was planned: the counter may have become hybrid meanwhile.
                self._start_write(changed, batch, is_reserved=True)
            case Refused(Counter() as other):
                # Somebody else changed the counter: plan again from what the refusal showed.
                self._view.learn(other, sent_at)
                self._queue.put_back(batch)
            case Refused():
                self._end(batch, AccountNotFoundError(self._key.account_id))
            case NotAppliedError():
                self._queue.put_back(batch)
                self._pace.slow_down()
            case OutcomeUnknownError():
                # What goes ahead of the ledger may count twice, never zero times; what follows it may count zero times,
                # never twice.
                self._lease.restrain()
                self._queue.put_back(Batch(batch.tickets, [one for one in batch.adjustments if one.epoch is None]))
                self._planner.finish([one for one in batch.adjustments if one.epoch is not None])
                self._pace.back_off()
            case error:
                self._end(batch, error)

    async def _try_to_change(self, change: Change) -> Changed | Refused | _Failure:
        try:
            return await self._store.change_counter(self._key, change)
        except (NotAppliedError, OutcomeUnknownError, StoreRejectedError, CounterDamagedError) as error:
            return error

    def _end(self, batch: Batch, error: CounterError) -> None:
        """Answer a batch that can never be flushed. What its adjustments follow is done, so they count as done."""
        self._view.forget()
        for ticket in batch.tickets:
            ticket.fail(error)
        self._planner.finish(batch.adjustments)

    # The write of the entries, and what it leaves to be counted

    def _start_write(self, counter: Counter, batch: Batch, *, is_reserved: bool) -> None:
        """Write granted entries in the background, while the next flush already runs."""
        if not batch.tickets:
            return
        self._lease.observe(batch.amount)
        self._writing += len(batch.tickets)
        task = asyncio.create_task(self._write(counter, batch, is_reserved=is_reserved))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def _write(self, counter: Counter, batch: Batch, *, is_reserved: bool) -> None:
        try:
            written = await self._writer.write(counter.slots, batch.tickets)
        except Exception as error:  # noqa: BLE001 - likewise
            self._log_unforeseen("write.failed", error)
            for ticket in batch.tickets:
                ticket.fail(OverloadedError(_UNFORESEEN))
            written = Written.of(batch.tickets)
        finally:
            self._writing -= len(batch.tickets)
            if self._is_filled:
                self._filled.set()
        adjustment = self._planner.after_write(counter, batch, written, is_reserved=is_reserved)
        if adjustment is not None:
            self._enqueue(adjustment)
