"""What waits in a lane for its next flush."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from counters.lanes.tickets import Adjustment, Ticket


class Batch(NamedTuple):
    """What one flush is about.

    Attributes:
        tickets: Creates, in order of arrival.
        adjustments: Amounts to add without asking the limit.
    """

    tickets: Sequence[Ticket]
    adjustments: Sequence[Adjustment]

    @property
    def amount(self) -> int:
        """Sum of what the creates take."""
        return sum(ticket.entry.amount for ticket in self.tickets)


class Queue:
    """Creates and adjustments that wait, in order of arrival.

    Attributes:
        creates: How many creates wait.
        adjustments: The adjustments that wait.
    """

    def __init__(self) -> None:
        self._tickets: deque[Ticket] = deque()
        self._signal = asyncio.Event()
        self.adjustments: list[Adjustment] = []

    def __len__(self) -> int:
        """Return how many creates and adjustments wait."""
        return len(self._tickets) + len(self.adjustments)

    @property
    def creates(self) -> int:
        """How many creates wait."""
        return len(self._tickets)

    def add(self, waiting: Ticket | Adjustment) -> None:
        """Add a create or an adjustment."""
        if isinstance(waiting, Ticket):
            self._tickets.append(waiting)
        else:
            self.adjustments.append(waiting)
        self._signal.set()

    async def wait(self) -> None:
        """Wait until something is added, or until ``signal`` is called."""
        self._signal.clear()
        await self._signal.wait()

    def signal(self) -> None:
        """End the wait, although nothing was added."""
        self._signal.set()

    def take_tickets(self, size_max: float, now: float) -> list[Ticket]:
        """Take the oldest creates, answering those that are late at this event loop time, in seconds."""
        tickets: list[Ticket] = []
        while self._tickets and len(tickets) < size_max:
            ticket = self._tickets.popleft()
            if not ticket.expire_if_late(now):
                tickets.append(ticket)
        return tickets

    def take_adjustments(self) -> list[Adjustment]:
        """Take all adjustments."""
        taken, self.adjustments = self.adjustments, []
        return taken

    def take_all(self) -> Batch:
        """Take all that waits."""
        tickets = list(self._tickets)
        self._tickets.clear()
        return Batch(tickets, self.take_adjustments())

    def put_back(self, batch: Batch) -> None:
        """Put a batch back in front of what came later."""
        self._tickets.extendleft(reversed(batch.tickets))
        self.adjustments[:0] = batch.adjustments
        self._signal.set()
