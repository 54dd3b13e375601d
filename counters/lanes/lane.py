"""A lane: the queue of one counter in use, and group commit (``docs/design/engine.md``, sections 4 and 5).

A lane has at most one flush in flight; what arrives meanwhile forms the next batch. So there is no added latency at
low load, and the number of writes to a hot counter follows the store's speed, not the callers' number.
Group commit is as old as IMS Fast Path: Gawlick and Kinkade, IEEE Database Engineering 8(2), 1985.
"""

import asyncio
import logging
from collections.abc import Mapping
from random import Random
from weakref import WeakValueDictionary

from counters.errors import OverloadedError
from counters.healing.healer import Healer
from counters.keys import CounterKey
from counters.lanes.backlog import BATCH_MAX
from counters.lanes.flush import Flusher
from counters.lanes.lease import Lease
from counters.lanes.planner import Planner
from counters.lanes.queue import Batch, Queue
from counters.lanes.refusals import Refusals
from counters.lanes.settings import LaneSettings
from counters.lanes.tickets import Adjustment, Ticket
from counters.lanes.unforeseen import unforeseen
from counters.lanes.view import View
from counters.lanes.writer import EntryWriter
from counters.lanes.writes import Writes
from counters.model import Counter
from counters.stores.port import Store
from counters.values.ids import Clock

logger = logging.getLogger(__name__)


class Lane:
    """The queue of one counter in this process, and the worker that empties it batch by batch."""

    def __init__(  # noqa: PLR0913 - collaborators, each under its name; a bundle would only hide them
        self, key: CounterKey, store: Store, healer: Healer, *, clock: Clock, random: Random, settings: LaneSettings
    ) -> None:
        self._key = key
        self._settings = settings
        self._queue = Queue()
        self._view = View(key, store, random, look_every_s=settings.look_every_s)
        self._lease = Lease(self._queue, settings.lease)
        self._refusals = Refusals(key, healer, self._view, self._queue)
        planner = Planner(self._view, settings.sight_lasts_s)
        self._writes = Writes(key, self._queue, planner, self._lease, EntryWriter(store, clock, random), settings)
        self._flusher = Flusher(
            key,
            store,
            queue=self._queue,
            view=self._view,
            planner=planner,
            lease=self._lease,
            refusals=self._refusals,
            writes=self._writes,
            clock=clock,
            random=random,
        )
        self._under_way: WeakValueDictionary[str, Ticket] = WeakValueDictionary()
        self._followers: set[asyncio.Task[None]] = set()
        self._following = 0
        self._worker: asyncio.Task[None] | None = None
        self.used_at = 0.0

    # What callers ask

    @property
    def is_busy(self) -> bool:
        """Whether anything is queued, reserved ahead, in flight or being written."""
        return self._worker is not None

    def submit(self, ticket: Ticket) -> None:
        """Queue a create; its ticket gets the answer.

        Creates of one id that come while the first is under way share its answer: one reserves and writes for all.

        Raises:
            OverloadedError: The lane's queue is full, or too long for what the ledger takes.
        """
        if ticket.has_own_id:
            first = self._under_way.get(ticket.entry.id)
            if first is not None and not first.answer.done():
                self._follow(first, ticket)
                return
        self._submit(ticket)
        if ticket.has_own_id:
            # Not before: one that is turned away is never answered, and nobody is to wait for it.
            self._under_way[ticket.entry.id] = ticket

    def _submit(self, ticket: Ticket) -> None:
        creates = self._queue.creates
        if creates + self._refusals.waiting + self._writes.size >= self._settings.queue_max:
            raise OverloadedError("Too many operations wait for this counter; try again.")
        if creates > BATCH_MAX and self._writes.is_too_much(creates):
            raise OverloadedError(
                "More waits to be stored for this counter than the deadline leaves time for; try again."
            )
        self._enqueue(ticket)

    async def adjust(self, amounts: Mapping[int, int], epoch: int | None, deadline: float) -> None:
        """Add to ``best_effort`` without asking the limit; returns when the flush that carries it is done.

        At the deadline it returns all the same, and the adjustment stays queued until it is flushed.

        Args:
            amounts: See ``Adjustment``.
            epoch: See ``Adjustment``.
            deadline: Event loop time, in seconds, until which to wait.
        """
        adjustment = Adjustment(amounts, epoch)
        self._enqueue(adjustment)
        try:
            async with asyncio.timeout_at(deadline):
                await adjustment.done
        except TimeoutError:
            logger.warning("adjustment.late", extra={"fields": {**self._key._asdict(), "delta": adjustment.delta}})

    async def look(self, deadline: float) -> Counter:
        """Return the counter with its current epoch; see ``View.look_at_epoch``."""
        return await self._view.look_at_epoch(deadline)

    def learn(self, counter: Counter) -> None:
        """Plan with a counter whose terms were changed outside this lane: a new limit holds from the next create on."""
        self._view.learn(counter)
        # Reserved under the terms of before; a create that comes now is judged by the new ones.
        self._lease.give_back()

    async def drain(self) -> None:
        """Wait until everything that was let in is flushed and written."""
        while self._worker is not None:
            self._lease.give_back()
            await asyncio.wait([self._worker])

    def _follow(self, first: Ticket, ticket: Ticket) -> None:
        self._following += 1
        task = asyncio.create_task(self._share_answer(first, ticket))
        self._followers.add(task)
        task.add_done_callback(self._followers.discard)

    async def _share_answer(self, first: Ticket, ticket: Ticket) -> None:
        """Answer a create with the entry that an equal one made or found; if there is none, submit it by itself."""
        loop = asyncio.get_running_loop()
        try:
            await asyncio.wait([first.answer], timeout=ticket.deadline - loop.time())
            entry = first.found_since(ticket.arrived_at)
            if entry is not None:
                ticket.replay(entry)
            elif not ticket.expire_if_late(loop.time()):
                self._submit(ticket)
        except OverloadedError as error:
            ticket.fail(error)
        finally:
            self._following -= 1
            self._queue.signal()

    # The worker: one batch after the other

    def _enqueue(self, waiting: Ticket | Adjustment) -> None:
        self._queue.add(waiting)
        self._writes.end_linger_if_filled()
        if self._worker is None:
            self._worker = asyncio.create_task(self._work(), name=f"lane {self._key}")

    async def _work(self) -> None:
        """Empty the queue, also of what writes, a healing or a lease put into it later."""
        try:
            while self._queue or self._is_awaited:
                try:
                    await self._take_step()
                except Exception as error:  # noqa: BLE001 - it is logged, and its callers are answered
                    self._flusher.end(self._queue.take_all(), unforeseen("lane.failed", self._key, error))
        finally:
            self._worker = None

    @property
    def _is_awaited(self) -> bool:
        """Whether writes, a healing, a lease or a shared answer may still put something into the queue."""
        return bool(self._writes.size or self._refusals.is_healing or self._lease.size or self._following)

    async def _take_step(self) -> None:
        if not self._queue:
            await self._queue.wait()
            return
        await self._hold_back()
        await self._writes.linger()
        if not self._draw():
            await self._flusher.wait()
            await self._flush()

    async def _hold_back(self) -> None:
        """Wait while the ledger has a backlog that fills the time allowed for it. Adjustments do not wait."""
        while self._writes.room < 1 and not self._queue.adjustments:  # noqa: ASYNC110  # only under overload
            await asyncio.sleep(self._settings.linger_s)

    def _draw(self) -> bool:
        """Let a call's worth of creates in by the lease, without a flush; return whether it was large enough."""
        if self._queue.adjustments or not self._lease.size:
            return False
        batch = Batch(self._take_tickets(BATCH_MAX), [])
        counter = self._lease.draw(batch.amount) if batch.tickets else None
        if counter is None:
            self._queue.put_back(batch)
            return False
        self._writes.start(counter, batch, is_reserved=True)
        return True

    async def _flush(self) -> None:
        tickets = self._take_tickets(self._settings.batch_max)
        if tickets or self._queue.adjustments:
            self._lease.give_back()
            await self._flusher.flush(Batch(tickets, self._queue.take_adjustments()))

    def _take_tickets(self, size_max: int) -> list[Ticket]:
        return self._queue.take_tickets(min(size_max, self._writes.room), asyncio.get_running_loop().time())
