"""The two kinds of work that wait in a lane: tickets, each a caller's create, and adjustments of the counter."""

import asyncio
import math
from collections.abc import Mapping

from counters.errors import CounterError, OverloadedError
from counters.model import Created, Entry


class Ticket:
    """One create: waits in a lane, gets a reservation, then an entry, then an answer.

    Attributes:
        entry: What is to be written. An id of ours is given when its page is formed.
        has_own_id: Whether the caller chose the id, so that it may be taken already.
        arrived_at: Event loop time, in seconds, at which it was made.
        asked_at: Event loop time, in seconds, just before the last call for its entry; infinitely early at first.
        deadline: Event loop time, in seconds, of the latest answer; no write starts after it.
        is_looked_up: Whether an entry under its id was looked for and not found.
        answer: Resolved once; cancelled when the caller stops waiting.
        is_stored: Whether the entry is durable, by this ticket.
        epoch: The counter's epoch in which it was let in.
        revision: The counter's revision by which it was let in.
    """

    # Weak references let a lane find a create under way by its id, and forget it by itself.
    __slots__ = (
        "__weakref__",
        "answer",
        "arrived_at",
        "asked_at",
        "deadline",
        "entry",
        "epoch",
        "has_own_id",
        "is_looked_up",
        "is_stored",
        "revision",
    )

    def __init__(self, entry: Entry, *, has_own_id: bool, deadline: float) -> None:
        self.entry = entry
        self.has_own_id = has_own_id
        self.deadline = deadline
        self.is_stored = False
        self.epoch = 0
        self.revision = 0
        self.is_looked_up = False
        loop = asyncio.get_running_loop()
        self.arrived_at = loop.time()
        self.asked_at = -math.inf
        self.answer: asyncio.Future[Created] = loop.create_future()

    def found_since(self, arrived_at: float) -> Entry | None:
        """Return the entry that it made or that had its id, if it was asked for since this event loop time.

        An older answer says nothing to a later caller: the entry may have been deleted in between.
        """
        if self.asked_at < arrived_at:
            return None
        if self.is_stored:
            return self.entry
        if not self.answer.done() or self.answer.cancelled() or self.answer.exception() is not None:
            return None
        return self.answer.result().entry

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
    """What to add to ``best_effort`` without asking the limit: a release, say, and who waits for it.

    Attributes:
        amounts: What to add, negative to take away, by the revision of the entries or reservations that it is about.
        epoch: For what follows a change of the ledger: the counter's epoch before that change. It is added once at
            most, and not at all when a healing has counted it since: the recount saw the change, or the next one will.
            None for what goes ahead of a change of the ledger: it is added once at least, whatever the epoch.
        in_flight: What the lane holds as in flight until then: hybrid entries that were written and not counted.
        done: Resolved when the adjustment is flushed or dropped.
    """

    __slots__ = ("amounts", "done", "epoch", "in_flight")

    def __init__(self, amounts: Mapping[int, int], epoch: int | None, in_flight: int = 0) -> None:
        self.amounts = amounts
        self.in_flight = in_flight
        self.epoch = epoch
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def delta(self) -> int:
        """What to add in all."""
        return sum(self.amounts.values())

    def up_to(self, revision: int) -> int:
        """Return what to add for entries and reservations up to this revision."""
        return sum(amount for of_revision, amount in self.amounts.items() if of_revision <= revision)

    def drop_up_to(self, revision: int) -> bool:
        """Leave out what is for entries and reservations up to this revision; return whether that was all."""
        self.amounts = {of: amount for of, amount in self.amounts.items() if of > revision}
        return not self.amounts

    def finish(self) -> None:
        """Answer the one who waits for it."""
        if not self.done.done():
            self.done.set_result(None)
