"""The entry writes of a lane that are under way, and the room that the ledger has for more."""

import asyncio
from contextlib import suppress

from counters.keys import CounterKey
from counters.lanes.backlog import BATCH_MAX
from counters.lanes.lease import Lease
from counters.lanes.planner import Planner
from counters.lanes.queue import Batch, Queue
from counters.lanes.settings import LaneSettings
from counters.lanes.unforeseen import unforeseen
from counters.lanes.writer import EntryWriter, Written
from counters.model import Counter


class Writes:
    """Writes the entries of granted creates in the background, while the next flush already runs.

    Attributes:
        size: How many entries are being written.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - collaborators, each under its name
        self,
        key: CounterKey,
        queue: Queue,
        planner: Planner,
        lease: Lease,
        writer: EntryWriter,
        settings: LaneSettings,
    ) -> None:
        self._key = key
        self._queue = queue
        self._planner = planner
        self._lease = lease
        self._writer = writer
        self._settings = settings
        self._filled = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.size = 0

    @property
    def room(self) -> float:
        """How many more creates may be let in now: infinite while the ledger takes all that comes."""
        return self._writer.capacity(self._settings.backlog_max_s) - self._writer.backlog

    def is_too_much(self, creates: int) -> bool:
        """Tell whether the ledger needs longer for this many creates than callers can wait."""
        return self._writer.is_saturated and creates > self._writer.capacity(self._settings.queue_max_s)

    async def linger(self) -> None:
        """Let the next batch fill a call while the store is busy with a full one.

        At high load this saves a third of all calls, and their write units; below it, nothing ever waits here.
        """
        if self._is_filled:
            return
        self._filled.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.linger_s):
                await self._filled.wait()

    def end_linger_if_filled(self) -> None:
        """Let a batch that lingers go on, if enough is queued by now."""
        if self._is_filled:
            self._filled.set()

    @property
    def _is_filled(self) -> bool:
        """Whether to flush now: the queue fills a call, or the entries being written do not fill one."""
        return len(self._queue) >= BATCH_MAX or self.size < BATCH_MAX

    def start(self, counter: Counter, batch: Batch, *, is_reserved: bool) -> None:
        """Write the entries of granted creates; then queue the adjustment that the outcome makes necessary.

        Args:
            counter: As it was planned with.
            batch: The creates.
            is_reserved: Whether the counter has counted them already.
        """
        if not batch.tickets:
            return
        for ticket in batch.tickets:
            ticket.epoch, ticket.revision = counter.epoch, counter.revision
        self._lease.observe(batch.amount)
        self.size += len(batch.tickets)
        task = asyncio.create_task(self._write(counter, batch, is_reserved=is_reserved))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _write(self, counter: Counter, batch: Batch, *, is_reserved: bool) -> None:
        try:
            written = await self._writer.write(counter.ledger, batch.tickets)
        except Exception as error:  # noqa: BLE001 - it is logged, and its callers are answered
            answer = unforeseen("write.failed", self._key, error)
            for ticket in batch.tickets:
                ticket.fail(answer)
            written = Written.of(batch.tickets)
        finally:
            self.size -= len(batch.tickets)
            self.end_linger_if_filled()
            if not self.size:
                self._queue.signal()
        adjustment = self._planner.after_write(counter, batch, written, is_reserved=is_reserved)
        if adjustment is not None:
            self._queue.add(adjustment)
