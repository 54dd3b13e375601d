"""The last sight that a lane has of its counter, and its age."""

import asyncio
import math
from random import Random
from typing import Final

from counters.errors import AccountNotFoundError
from counters.keys import CounterKey
from counters.model import Counter, Enforcement
from counters.retry import repeat
from counters.stores.port import Store

_EPOCH_LASTS_S: Final = 1.0
"""How long after a flush a delete relies on the epoch that it showed, in seconds."""


class View:
    """The newest sight of one counter.

    Attributes:
        seen: The counter as it was seen last; None before the first sight, and after what was seen proved useless.
        asked_at: Event loop time, in seconds, just before the sight was asked for. The counter was so after it.
    """

    def __init__(self, key: CounterKey, store: Store, random: Random, *, look_every_s: float) -> None:
        self._key = key
        self._store = store
        self._random = random
        self._look_every_s = look_every_s
        self.seen: Counter | None = None
        self.asked_at = -math.inf
        self._looked_at = -math.inf
        self._flushed_at = -math.inf

    @property
    def age_s(self) -> float:
        """The greatest possible age of the sight, in seconds. It counts from the moment of asking."""
        return asyncio.get_running_loop().time() - self.asked_at

    def learn(self, counter: Counter, asked_at: float = -math.inf) -> None:
        """Keep this sight of the counter, unless a newer one is known.

        Args:
            counter: As it was seen.
            asked_at: Event loop time, in seconds, just before it was asked for. Left out where nobody knows.
        """
        seen = self.seen
        if seen is not None and (counter.revision, counter.terms_version) < (seen.revision, seen.terms_version):
            # A read that was overtaken by a flush or by a change of the limit.
            return
        self.seen = counter
        self.asked_at = max(self.asked_at, asked_at)

    def learn_from_write(self, counter: Counter, sent_at: float) -> Counter:
        """Keep the counter as the answer to a write has it that was sent at this event loop time, in seconds.

        Returns:
            The counter with the exact side as it was last seen.
        """
        if self.seen is not None:
            counter = counter.with_exact_of(self.seen)
        # A hybrid create is let in by both sides, and the other one is no newer than it was.
        self.learn(counter, sent_at if counter.enforcement is Enforcement.STRICT else -math.inf)
        return counter

    def learn_from_flush(self, counter: Counter, sent_at: float) -> Counter:
        """Keep the counter as a flush left it; see ``learn_from_write``."""
        self._flushed_at = sent_at
        return self.learn_from_write(counter, sent_at)

    def forget(self) -> None:
        """Drop the sight: the next plan needs a fresh look."""
        self.seen = None

    async def look(self) -> Counter | None:
        """Read the counter once, and return it; None when there is none.

        One look serves everybody who came before it. So looks keep a least distance, and a storm on a full counter
        costs few of them.

        Raises:
            StoreError: The store did not answer, or refused.
            CounterDamagedError: Something in the counter cannot be read.
        """
        loop = asyncio.get_running_loop()
        next_at = self._looked_at + self._look_every_s
        if next_at > loop.time():
            await asyncio.sleep(next_at - loop.time())
        asked_at = self._looked_at = loop.time()
        counter = await self._store.read_counter(self._key)
        if counter is not None:
            self.learn(counter, asked_at)
        return counter

    async def look_at_epoch(self, deadline: float) -> Counter:
        """Return the counter with its current epoch. Read it, unless a flush showed it lately.

        An epoch that is over does no harm: a release under it is left out when a healing came since, which at worst
        leaves ``best_effort`` too high.

        Args:
            deadline: Event loop time, in seconds, after which no read is started.

        Raises:
            AccountNotFoundError: There is no such counter.
            OverloadedError: The store did not answer in time.
        """
        flushed_s = asyncio.get_running_loop().time() - self._flushed_at
        if self.seen is not None and flushed_s < _EPOCH_LASTS_S:
            return self.seen
        asked_at = asyncio.get_running_loop().time()
        counter = await repeat(lambda: self._store.read_counter(self._key), deadline, self._random)
        if counter is None:
            raise AccountNotFoundError(self._key.account_id)
        self.learn(counter, asked_at)
        return counter
