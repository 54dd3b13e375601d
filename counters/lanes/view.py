"""What a lane last saw of its counter, and how old that is."""

import asyncio
import math
from random import Random

from counters.errors import AccountNotFoundError
from counters.keys import CounterKey
from counters.model import Counter
from counters.retry import repeat
from counters.stores.port import Store


class View:
    """The newest sight of one counter.

    Attributes:
        seen: The counter as it was seen last; None before the first sight, and after what was seen proved useless.
    """

    def __init__(self, key: CounterKey, store: Store, random: Random, quiet_s: float) -> None:
        self._key = key
        self._store = store
        self._random = random
        self._quiet_s = quiet_s
        self.seen: Counter | None = None
        self._seen_at = -math.inf
        self._flushed_at = -math.inf

    @property
    def age_s(self) -> float:
        """How old the sight is at most, in seconds: the counter was so after it was asked for."""
        return asyncio.get_running_loop().time() - self._seen_at

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
        self._seen_at = max(self._seen_at, asked_at)

    def learn_from_flush(self, counter: Counter, sent_at: float) -> None:
        """Keep the counter as a flush left it that was sent at this event loop time, in seconds."""
        self.learn(counter, sent_at)
        self._flushed_at = sent_at

    def forget(self) -> None:
        """Plan with nothing that was seen until now."""
        self.seen = None

    async def look(self) -> Counter | None:
        """Read the counter once, and return it; None when there is none.

        Raises:
            StoreError: The store did not answer, or refused.
            CounterDamagedError: Something in the counter cannot be read.
        """
        asked_at = asyncio.get_running_loop().time()
        counter = await self._store.read_counter(self._key)
        if counter is not None:
            self.learn(counter, asked_at)
        return counter

    async def look_at_epoch(self, deadline: float) -> Counter:
        """Return the counter with an epoch that is surely current; read it unless a flush showed it lately.

        A healing needs a quiet counter. So within half of the quiet time after a flush there was none.

        Args:
            deadline: Event loop time, in seconds, after which no read is started.

        Raises:
            AccountNotFoundError: There is no such counter.
            OverloadedError: The store did not answer in time.
        """
        flushed_s = asyncio.get_running_loop().time() - self._flushed_at
        if self.seen is not None and flushed_s < self._quiet_s / 2:
            return self.seen
        asked_at = asyncio.get_running_loop().time()
        counter = await repeat(lambda: self._store.read_counter(self._key), deadline, self._random)
        if counter is None:
            raise AccountNotFoundError(self._key.account_id)
        self.learn(counter, asked_at)
        return counter
