"""A process's way to the table: its one core, the time a call takes, and what the table says to it."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeAlias, TypeVar

from load.model.assumptions import LATENCIES, Call, CpuCosts
from load.model.table import ModelTable

T = TypeVar("T")


Network: TypeAlias = Callable[[Call, int, float], float]
"""How long calls take: of a call, its number of items and when it is sent, returns when its answer is there.

Both times are in event loop seconds.
"""


def aws_network(random: Random) -> Network:
    """Return how long calls take on AWS, whatever is under way: DynamoDB has no queue that one caller could see."""
    return lambda call, _, sent_at: sent_at + LATENCIES[call].draw_s(random)


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

    def __init__(self, table: ModelTable, network: Network, cpu: CpuCosts, random: Random) -> None:
        self.table = table
        self.core = Core()
        self.cpu = cpu
        self.random = random
        self._network = network

    async def send(self, call: Call, *steps: Callable[[], Awaitable[T]], items: int = 1) -> T:
        """Send one request, wait for its answer and return it; what a step raises is an answer, too.

        Args:
            call: What kind of request it is.
            steps: What the table does, which takes no time by itself: one step half-way, or the two of a transaction
                after a quarter and three quarters of the request's time. The last one's result is the answer.
            items: How many items it is about.
        """
        sent_at = self.core.book(self.cpu.call_s(call, items))
        answered_at = self._network(call, items, sent_at)
        self.table.usage.calls += 1
        try:
            for number, step in enumerate(steps):
                await sleep_until(sent_at + (answered_at - sent_at) * (2 * number + 1) / (2 * len(steps)))
                answer = await step()
            return answer
        finally:
            await sleep_until(answered_at)


async def sleep_until(time: float) -> None:
    """Sleep until an event loop time, in seconds."""
    await asyncio.sleep(max(0.0, time - asyncio.get_running_loop().time()))
