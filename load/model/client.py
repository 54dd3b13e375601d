"""A process's way to the table: its one core, the time a call takes, and what the table says to it."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import NamedTuple, Protocol, TypeVar

from load.model.assumptions import Call, CpuCosts, latency_of
from load.model.table import ModelTable

T = TypeVar("T")


class Trip(NamedTuple):
    """A call's way, in event loop seconds.

    Attributes:
        effect_at: When the database carries it out.
        answered_at: When the answer is there.
    """

    effect_at: float
    answered_at: float


class ModelNetwork(Protocol):
    """How long calls take."""

    def trip(self, call: Call, items: int, sent_at: float) -> Trip:
        """Return the way of a call that is sent at this time."""


class AwsNetwork:
    """Each call takes its time, whatever else is under way: DynamoDB has no queue that one caller could see."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def trip(self, call: Call, items: int, sent_at: float) -> Trip:
        """See ``Network``; half of the time lies before the effect."""
        time_s = latency_of(call, items).draw_s(self._random)
        return Trip(sent_at + time_s / 2, sent_at + time_s)


class Core:
    """One processor core: work is done in the order in which it comes.

    Attributes:
        worked_s: Work that was given to it so far, in seconds.
    """

    def __init__(self) -> None:
        self._free_at = 0.0
        self.worked_s = 0.0

    def book(self, work_s: float) -> float:
        """Take on some work; return the event loop time when it will be done."""
        self._free_at = max(asyncio.get_running_loop().time(), self._free_at) + work_s
        self.worked_s += work_s
        return self._free_at

    async def work(self, work_s: float) -> None:
        """Do some work, when its turn comes."""
        if work_s:
            await sleep_until(self.book(work_s))


class ModelClient:
    """What a process sends its requests with. It repeats nothing.

    Attributes:
        table: The database.
        core: The process's core.
        cpu: What things cost on it.
        random: Source of the process's randomness.
    """

    def __init__(self, table: ModelTable, network: ModelNetwork, cpu: CpuCosts, random: Random) -> None:
        self.table = table
        self.core = Core()
        self.cpu = cpu
        self.random = random
        self._network = network

    async def send(self, call: Call, effect: Callable[[], Awaitable[T]], items: int = 1) -> T:
        """Send one request, wait for its answer and return it; what ``effect`` raises is an answer, too.

        Args:
            call: What kind of request it is.
            effect: What the table does when the request arrives. It takes no time.
            items: How many items it is about.
        """
        trip = self._network.trip(call, items, self.core.book(self.cpu.call_s(call, items)))
        self.table.usage.calls += 1
        await sleep_until(trip.effect_at)
        try:
            return await effect()
        finally:
            await sleep_until(trip.answered_at)

    async def transact(self, prepare: Callable[[], None], commit: Callable[[], None], items: int) -> None:
        """Send a transaction: a quarter of its time passes before its preparation, half until it is committed.

        Args:
            prepare: What the table does first; what it raises is the answer.
            commit: What the table does then.
            items: How many items it writes.
        """
        sent_at = self.core.book(self.cpu.call_s(Call.TRANSACT_WRITE, items))
        answered_at = self._network.trip(Call.TRANSACT_WRITE, items, sent_at).answered_at
        self.table.usage.calls += 1
        quarter_s = (answered_at - sent_at) / 4
        await sleep_until(sent_at + quarter_s)
        try:
            prepare()
            await sleep_until(answered_at - quarter_s)
            commit()
        finally:
            await sleep_until(answered_at)


async def sleep_until(time: float) -> None:
    """Sleep until an event loop time, in seconds."""
    await asyncio.sleep(max(0.0, time - asyncio.get_running_loop().time()))
