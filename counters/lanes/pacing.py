"""Pacing of calls to a resource that other processes use too: rates, and AIMD."""

import asyncio
import math
from random import Random
from typing import Final

from counters.retry import Backoff

LATELY_S: Final = 1.0
"""The time over which rates are measured, in seconds. "Lately" means within it."""


class Recent:
    """An amount a second, measured over about the last second by exponential decay.

    Attributes:
        per_s: The amount a second, as of the last one noted.
    """

    def __init__(self) -> None:
        self.per_s = 0.0
        self._noted_at = -math.inf

    def fades_to_per_s(self, now: float) -> float:
        """Return the rate at this event loop time, in seconds, if nothing has come since the last amount."""
        return self.per_s * math.exp((self._noted_at - now) / LATELY_S)

    def observe(self, now: float, amount: int) -> None:
        """Add an amount that came at this event loop time, in seconds."""
        self.per_s = self.fades_to_per_s(now) + amount / LATELY_S
        self._noted_at = now


class Rate:
    """The rate for a ledger shared with an unknown number of senders: twice what it took lately, and a little more.

    Twice: a sender that sends no more than was taken never learns that the ledger takes more. A little more: a constant
    helps the smallest sender most, so the shares come closer. If the ledger accepted the same part from each of n
    senders, D in all, a share p would become D (2p + a) / (2D + na), and its only fixed point is D / n. In fact a
    sender that sends more often finds more room.
    """

    _MORE_PER_S: Final = 40.0
    """The constant ``a``. With 25 senders it adds up to what a slot takes."""

    def __init__(self) -> None:
        self._taken = Recent()
        self._refused_at = -math.inf
        self._bound_since = math.inf

    def observe(self, now: float, taken: int, refused: int) -> None:
        """Add the outcome of a call: how many writes were taken, and how many refused."""
        self._taken.observe(now, taken)
        if refused:
            if self.is_free(now):
                self._bound_since = now
            self._refused_at = now

    def is_free(self, now: float) -> bool:
        """True while the ledger has refused nothing lately."""
        return now - self._refused_at > LATELY_S

    def is_known(self, now: float) -> bool:
        """True once the ledger has refused for long enough that the rate it takes is known."""
        return not self.is_free(now) and now - self._bound_since > LATELY_S / 2

    def pause_s(self) -> float:
        """Return how long to wait from one write to the next at the rate of sending, in seconds."""
        return 1 / (2 * self._taken.per_s + self._MORE_PER_S)


class Pace:
    """AIMD pacing for a resource shared with an unknown number of senders.

    Nothing waits until a send is throttled. From then on there is a pause between sends. It grows after each throttled
    send and shrinks after each success. So the senders come to share a limit evenly, and few sends are in vain
    (additive increase, multiplicative decrease: Chiu and Jain, Computer Networks 17, 1989).

    A send without an answer says nothing about other senders. It is repeated with growing waits (``Backoff``).

    Attributes:
        next_at: Event loop time, in seconds, at which the next send may start.
    """

    _LEAST_S: Final = 0.005
    _MOST_S: Final = 0.5
    _SLOWER: Final = 1.5
    _FASTER_PER_S: Final = 1.0
    """Each success adds this many sends a second. From two sends a second back to a hundred takes four seconds."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._interval_s = 0.0
        self._backoff = Backoff(random)
        self._began_at = -math.inf
        self.next_at = -math.inf

    async def wait(self) -> None:
        """Wait until the next send may start, then begin it."""
        loop = asyncio.get_running_loop()
        if self.next_at > loop.time():
            await asyncio.sleep(self.next_at - loop.time())
        self.begin(loop.time())

    def begin(self, now: float) -> None:
        """Begin a send now (event loop time, in seconds)."""
        self._began_at = self.next_at = now

    def succeed(self) -> None:
        """Shorten the pause: the send succeeded."""
        self._backoff = Backoff(self._random)
        self._interval_s /= 1 + self._FASTER_PER_S * self._interval_s
        if self._interval_s < self._LEAST_S:
            self._interval_s = 0.0
        self.next_at = self._began_at + self._interval_s * self._random.uniform(0.5, 1.5)

    def slow_down(self) -> None:
        """Lengthen the pause: the send was throttled. Its repeat may come within half of the pause, as it is late."""
        self._interval_s = min(self._MOST_S, max(self._LEAST_S, self._interval_s * self._SLOWER))
        self.next_at = self._began_at + self._random.uniform(0, self._interval_s / 2)

    def back_off(self) -> None:
        """Wait longer before the repeat: the send got no answer."""
        self.next_at = self._began_at + self._backoff.next_s()
