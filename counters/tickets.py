"""A ticket: one caller's create on its way from the lane's queue to the ledger."""

import asyncio

from counters.errors import CounterError
from counters.model import Created, Entry


class Ticket:
    """One create: waits in a lane, gets a reservation, then an entry, then an answer.

    Attributes:
        entry: What is to be written.
        own_id: Whether the caller chose the id, so that it may be taken already.
        deadline: Event loop time, in seconds, of the latest answer; no write starts after it.
        answer: Resolved once; cancelled when the caller stops waiting.
    """

    __slots__ = ("answer", "deadline", "entry", "own_id")

    def __init__(self, entry: Entry, *, own_id: bool, deadline: float) -> None:
        self.entry = entry
        self.own_id = own_id
        self.deadline = deadline
        self.answer: asyncio.Future[Created] = asyncio.get_running_loop().create_future()

    def is_live(self, now: float) -> bool:
        """Tell whether the caller still waits and its deadline is ahead."""
        return not self.answer.done() and now < self.deadline

    def grant(self, created: Created) -> None:
        """Answer with the durable entry, if the caller still waits."""
        if not self.answer.done():
            self.answer.set_result(created)

    def fail(self, error: CounterError) -> None:
        """Answer with an error, if the caller still waits."""
        if not self.answer.done():
            self.answer.set_exception(error)
