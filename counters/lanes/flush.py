"""The road of a batch: look, plan, one write to the counter, and what its outcome means.

See ``docs/design/engine.md``, section 4.
"""

import asyncio
import math
from collections.abc import Sequence
from random import Random
from typing import Final, TypeAlias

from counters.errors import (
    AccountNotFoundError,
    CounterDamagedError,
    CounterError,
    NotAppliedError,
    OutcomeUnknownError,
    StoreRejectedError,
)
from counters.keys import CounterKey
from counters.lanes.lease import Lease
from counters.lanes.pacing import Pace
from counters.lanes.planner import Planner
from counters.lanes.queue import Batch, Queue
from counters.lanes.refusals import Refusals
from counters.lanes.tickets import Ticket
from counters.lanes.unforeseen import unforeseen
from counters.lanes.view import View
from counters.lanes.writes import Writes
from counters.model import Change, Changed, Counter, Enforcement, Refused
from counters.stores.port import Store
from counters.values.ids import Clock

_LOOKED_UP_MAX: Final = 100
"""Most ids that are looked up in one call; DynamoDB's limit for BatchGetItem."""

_Failure: TypeAlias = NotAppliedError | OutcomeUnknownError | StoreRejectedError | CounterDamagedError


class Flusher:
    """Flushes the batches of one lane, one after the other: the only place that changes its ``best_effort``."""

    def __init__(  # noqa: PLR0913 - collaborators, each under its name; a bundle would only hide them
        self,
        key: CounterKey,
        store: Store,
        *,
        queue: Queue,
        view: View,
        planner: Planner,
        lease: Lease,
        refusals: Refusals,
        writes: Writes,
        clock: Clock,
        random: Random,
    ) -> None:
        self._key = key
        self._store = store
        self._queue = queue
        self._view = view
        self._planner = planner
        self._lease = lease
        self._refusals = refusals
        self._writes = writes
        self._clock = clock
        self._pace = Pace(random)

    async def wait(self) -> None:
        """Wait until the next flush may start."""
        await self._pace.wait()

    async def flush(self, batch: Batch) -> None:
        """Grant or refuse the creates of a batch, and count its adjustments. Work that must wait is queued again."""
        try:
            await self._flush(batch)
        except Exception as error:  # noqa: BLE001 - it is logged, and its callers are answered
            # The write may have been applied. So it is not sent again, and its reservations stay counted.
            self._lease.restrain()
            self.end(batch, unforeseen("flush.failed", self._key, error))
            self._pace.back_off()

    async def _flush(self, batch: Batch) -> None:
        match await self._look(batch):
            case Counter() as counter:
                await self._carry_out(counter, batch)
            case None:
                self.end(batch, AccountNotFoundError(self._key.account_id))
            case NotAppliedError():
                self._queue.put_back(batch)
                self._pace.slow_down()
            case OutcomeUnknownError():
                self._queue.put_back(batch)
                self._pace.back_off()
            case error:
                self.end(batch, error)

    async def _look(self, batch: Batch) -> Counter | _Failure | None:
        """Return the counter to plan with: the last sight, or a fresh one where the last could mislead."""
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
        """Refuse the creates that do not fit, write entries that need no reservation, and commit the rest."""
        if counter.is_closed:
            # Its account is being deleted: no create is let in, and releases still count.
            self.end(Batch(batch.tickets, []), AccountNotFoundError(self._key.account_id))
            batch = Batch([], batch.adjustments)
        elif not self._planner.admits_all(counter, batch) and await self._answer_replays(counter, batch.tickets):
            # It took time: plan the rest by a sight that is fresh enough.
            self._queue.put_back(batch)
            return
        plan = self._planner.plan(counter, batch)
        self._planner.finish(plan.outdated)
        if plan.refused:
            is_hybrid = counter.enforcement is Enforcement.HYBRID
            self._refusals.refuse(counter, plan.refused, plan.in_use if is_hybrid else counter.value)
        # Behind the creates that this plan grants: they come back first if the write fails.
        self._queue.put_back(Batch(plan.deferred, []))
        self._writes.start(counter, plan.unreserved, is_reserved=False)
        if plan.reserved.tickets or plan.reserved.adjustments:
            await self._commit(counter, plan.reserved, plan.in_use)

    async def _answer_replays(self, counter: Counter, tickets: Sequence[Ticket]) -> bool:
        """Answer repeated creates before they reserve any room; return whether there was an id to look for."""
        unknown = [ticket for ticket in tickets if ticket.has_own_id and not ticket.is_looked_up][:_LOOKED_UP_MAX]
        if not unknown:
            return False
        for ticket in unknown:
            ticket.asked_at = asyncio.get_running_loop().time()
        try:
            found = await self._store.read_entries(counter.ledger, [ticket.entry.id for ticket in unknown])
        except (NotAppliedError, OutcomeUnknownError, StoreRejectedError):
            # The insert finds out.
            return False
        for ticket in unknown:
            stored = found.get(ticket.entry.id)
            ticket.is_looked_up = stored is None
            if stored is not None:
                ticket.replay(stored)
        return True

    async def _commit(self, counter: Counter, batch: Batch, in_use: int) -> None:
        """Make the one write of a batch, and do what its outcome asks for."""
        sent_at = asyncio.get_running_loop().time()
        ahead = self._lease.wanted(counter, in_use) if batch.tickets and self._writes.room == math.inf else 0
        outcome = await self._try_to_change(self._planner.change(counter, batch, ahead, self._clock()))
        if isinstance(outcome, Changed | Refused):
            self._pace.succeed()
            if outcome.counter is not None and outcome.counter.revision < counter.revision:
                # By hand, as no flush and no healing takes the revision back.
                self._view.forget()
        match outcome:
            case Changed(changed):
                changed = self._view.learn_from_flush(changed, sent_at)
                self._planner.finish(batch.adjustments)
                self._keep_ahead(changed, ahead, sent_at)
                # As the flush was planned: the counter may have become hybrid meanwhile.
                self._writes.start(changed, batch, is_reserved=True)
            case Refused(Counter() as other):
                # Somebody else changed the counter: plan again from what the refusal showed.
                self._view.learn_from_write(other, sent_at)
                self._queue.put_back(batch)
            case Refused():
                self.end(batch, AccountNotFoundError(self._key.account_id))
            case NotAppliedError():
                self._queue.put_back(batch)
                self._pace.slow_down()
            case OutcomeUnknownError():
                # A change ahead of the ledger may count twice, never zero times. A change behind it may count zero
                # times, never twice.
                self._lease.restrain()
                self._queue.put_back(Batch(batch.tickets, [one for one in batch.adjustments if one.epoch is None]))
                self._planner.finish([one for one in batch.adjustments if one.epoch is not None])
                self._pace.back_off()
            case error:
                self.end(batch, error)

    async def _try_to_change(self, change: Change) -> Changed | Refused | _Failure:
        try:
            return await self._store.change_counter(self._key, change)
        except (NotAppliedError, OutcomeUnknownError, StoreRejectedError, CounterDamagedError) as error:
            return error

    def _keep_ahead(self, counter: Counter, ahead: int, sent_at: float) -> None:
        """Keep the amount that was reserved ahead as a lease."""
        if ahead:
            self._lease.grant(counter, ahead, sent_at)
        if counter is not self._view.seen:
            # Its terms were changed while the answer was on its way.
            self._lease.give_back()

    def end(self, batch: Batch, error: CounterError) -> None:
        """Answer a batch that can never be flushed. Its adjustments end too, as their deletes are done."""
        self._view.forget()
        for ticket in batch.tickets:
            ticket.fail(error)
        self._planner.finish(batch.adjustments)
