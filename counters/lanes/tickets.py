"""What waits in a lane: tickets, each a caller's create, and adjustments of the counter."""

import asyncio

from counters.errors import CounterError, OverloadedError
from counters.model import Created, Entry


class Ticket:
    """One create: waits in a lane, gets a reservation, then an entry, then an answer.

    Attributes:
        entry: What is to be written.
        has_own_id: Whether the caller chose the id, so that it may be taken already.
        deadline: Event loop time, in seconds, of the latest answer; no write starts after it.
        answer: Resolved once; cancelled when the caller stops waiting.
        is_stored: Whether the entry is durable, by this ticket.
    """

    __slots__ = ("answer", "deadline", "entry", "has_own_id", "is_stored")

    def __init__(self, entry: Entry, *, has_own_id: bool, deadline: float) -> None:
        self.entry = entry
        self.has_own_id = has_own_id
        self.deadline = deadline
        self.is_stored = False
        self.answer: asyncio.Future[Created] = asyncio.get_running_loop().create_future()

    def expire_if_late(self, now: float) -> bool:
        """Answer that the time is up, if it is at this event loop time; return whether nobody waits any more."""
        if now >= self.deadline:
            self.expire()
        return self.answer.done()

    def store(self) -> None:
        """Note that the entry is durable, and answer if the caller still waits."""
        self.is_stored = True
        self._answer(Created(self.entry, replayed=False))

    def replay(self, stored: Entry) -> None:
        """Answer with the entry that has the caller's id already."""
        self._answer(Created(stored, replayed=True))

    def expire(self) -> None:
        """Answer that the time is up, if the caller still waits."""
        self.fail(OverloadedError("The operation ran out of time; try again."))

    def fail(self, error: CounterError) -> None:
        """Answer with an error, if the caller still waits."""
        if not self.answer.done():
            self.answer.set_exception(error)

    def _answer(self, created: Created) -> None:
        if not self.answer.done():
            self.answer.set_result(created)


class Adjustment:
    """An amount to add to ``best_effort`` without asking the limit: a release, say, and who waits for it.

    Attributes:
        delta: What to add, negative to take away.
        epoch: For what follows a change of the ledger: the counter's epoch before that change. It is added once at
            most, and not at all when the counter was healed since: the recount saw the change, or the next one will.
            None for what goes ahead of a change of the ledger: it is added once at least, whatever the epoch.
        in_flight: What the lane holds as in flight until then: hybrid entries that were written and not counted.
        done: Resolved when the adjustment is flushed or dropped.
    """

    __slots__ = ("delta", "done", "epoch", "in_flight")

    def __init__(self, delta: int, epoch: int | None, in_flight: int = 0) -> None:
        self.delta = delta
        self.in_flight = in_flight
        self.epoch = epoch
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def finish(self) -> None:
        """Let whoever waits go on."""
        if not self.done.done():
            self.done.set_result(None)
