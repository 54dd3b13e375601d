"""Open-loop load: when each request is due, whoever is free takes the next, and latency counts from when it was due.

A closed loop sends the next request when it has the last one's answer. While the server stalls, such a client stalls
along with it: the requests that it should have sent meanwhile are missing from the figures (Tene: "coordinated
omission"). Here a schedule alone says when a request is due. When every connection is busy, the next one waits its
turn, and that wait is part of its latency.

Neither clock nor waiting is in here: both come from outside.
"""

import math
from collections.abc import Callable
from typing import Final, NamedTuple

PATIENCE_S: Final = 10.0
"""Seconds that an arrival waits for a free connection before it is given up and counts as failed. It bounds what is
outstanding: connections + rate * patience."""


class Schedule(NamedTuple):
    """When requests arrive.

    Attributes:
        rate_per_s: Arrivals a second, evenly spaced; infinite for all at the same instant.
        size: Arrivals in all; None for no end.
    """

    rate_per_s: float
    size: int | None = None

    def due_s(self, number: int) -> float:
        """Return when an arrival is due, in seconds from the start; the first one has number 0."""
        return number / self.rate_per_s

    def count_due(self, elapsed_s: float) -> int:
        """Return how many arrivals are due in so many seconds from the start."""
        if elapsed_s < 0:
            return 0
        if math.isinf(self.rate_per_s):
            return self.size or 0
        due = math.floor(elapsed_s * self.rate_per_s) + 1
        return due if self.size is None else min(due, self.size)


class Arrival(NamedTuple):
    """One arrival.

    Attributes:
        number: Its place in the schedule.
        due_s: When it is due, on the clock that the arrivals were started with.
    """

    number: int
    due_s: float


class Timing(NamedTuple):
    """One request on the clock, in seconds.

    Attributes:
        due_s: When it should have been sent.
        begun_s: When it was sent.
        ended_s: When its answer was there.
    """

    due_s: float
    begun_s: float
    ended_s: float

    @property
    def latency_ms(self) -> float:
        """What a caller sees who arrived in time: the wait for a connection, and the service."""
        return 1000 * (self.ended_s - self.due_s)

    @property
    def service_ms(self) -> float:
        """What a closed loop would have measured: from sending to the answer."""
        return 1000 * (self.ended_s - self.begun_s)

    @property
    def wait_ms(self) -> float:
        """How long it waited in the client."""
        return 1000 * (self.begun_s - self.due_s)


class Arrivals:
    """Hands out the arrivals of a schedule in order, and knows of each what became of it."""

    def __init__(self, schedule: Schedule, start_s: float) -> None:
        """Begin the schedule.

        Args:
            schedule: When requests arrive.
            start_s: The time on the clock at which it begins.
        """
        self._schedule = schedule
        self._start_s = start_s
        self._taken: dict[int, Arrival] = {}
        self._next = 0
        self._end: int | None = schedule.size
        self.served = 0
        """Arrivals that were served."""

    def take(self) -> Arrival | None:
        """Return the next arrival, which may not be due yet; None when there is none."""
        if self._end is not None and self._next >= self._end:
            return None
        arrival = self._at(self._next)
        self._next += 1
        self._taken[arrival.number] = arrival
        return arrival

    def finish(self, arrival: Arrival, *, served: bool) -> None:
        """Note that an arrival was served, or given up."""
        self._taken.pop(arrival.number, None)
        self.served += served

    def count_due(self, now_s: float) -> int:
        """Return how many arrivals have become due."""
        due = self._schedule.count_due(now_s - self._start_s)
        return due if self._end is None else min(due, self._end)

    def close(self, now_s: float) -> None:
        """End the schedule: what is not due yet never will be."""
        self._end = self.count_due(now_s)
        self._taken = {number: arrival for number, arrival in self._taken.items() if number < self._end}

    def is_closed_to(self, arrival: Arrival) -> bool:
        """Return whether an arrival was not due yet when the schedule ended."""
        return self._end is not None and arrival.number >= self._end

    @property
    def is_over(self) -> bool:
        """Whether every arrival has been served or given up."""
        return self._end is not None and self._next >= self._end and not self._taken

    def unfinished(self) -> list[Arrival]:
        """Return, after the end, what was due and has been neither served nor given up."""
        if self._end is None:
            return []
        untaken = [self._at(number) for number in range(self._next, self._end)]
        return [*self._taken.values(), *untaken]

    def _at(self, number: int) -> Arrival:
        return Arrival(number, self._start_s + self._schedule.due_s(number))


class Loop(NamedTuple):
    """What one connection does with its arrivals.

    Attributes:
        clock: Returns the time in seconds.
        wait_until: Returns at that time, or as soon as the schedule is closed.
        serve: Sends the requests of an arrival.
        give_up: Reports an arrival that waited too long.
    """

    clock: Callable[[], float]
    wait_until: Callable[[float], None]
    serve: Callable[[Arrival], None]
    give_up: Callable[[Arrival], None]

    def serve_next(self, arrivals: Arrivals) -> bool:
        """Take the next arrival and see it through; return False when there is none."""
        arrival = arrivals.take()
        if arrival is None:
            return False
        self.wait_until(arrival.due_s)
        if arrivals.is_closed_to(arrival):
            return False
        # Without this, a server that recovers would first get everything that it missed.
        patient = self.clock() - arrival.due_s <= PATIENCE_S
        if patient:
            self.serve(arrival)
        else:
            self.give_up(arrival)
        arrivals.finish(arrival, served=patient)
        return True
