"""All lanes of a process (``docs/design/engine.md``, section 4)."""

import asyncio
from random import Random

from counters.errors import OverloadedError
from counters.healing.healer import Healer
from counters.keys import CounterKey
from counters.lanes.lane import Lane
from counters.lanes.settings import LaneSettings
from counters.model import Counter
from counters.stores.port import Store
from counters.values.ids import Clock


class Lanes:
    """All lanes of a process. Memory follows the counters in use: a lane that idles is dropped."""

    def __init__(self, store: Store, healer: Healer, *, clock: Clock, random: Random, settings: LaneSettings) -> None:
        self._store = store
        self._healer = healer
        self._clock = clock
        self._random = random
        self._settings = settings
        self._lanes: dict[CounterKey, Lane] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    def __len__(self) -> int:
        """Return the number of lanes in memory."""
        return len(self._lanes)

    @property
    def sight_lasts_s(self) -> float:
        """The greatest age of a sight by which a hybrid create is let in, in seconds."""
        return self._settings.sight_lasts_s

    def open(self, key: CounterKey) -> Lane:
        """Return the counter's lane, a new one if need be.

        Raises:
            OverloadedError: The process is shutting down.
        """
        if self._closed:
            raise OverloadedError("The service is shutting down; try again.")
        # Re-inserted on each use, so that the dict stays in order of use and a sweep looks at the oldest only.
        lane = self._lanes.pop(key, None) or self._make(key)
        self._lanes[key] = lane
        lane.used_at = asyncio.get_running_loop().time()
        if self._sweep is None:
            self._schedule_sweep()
        return lane

    def learn(self, counter: Counter) -> None:
        """Give a fresh sight of the counter to its lane, if there is one."""
        lane = self._lanes.get(counter.key)
        if lane is not None:
            lane.learn(counter)

    def _make(self, key: CounterKey) -> Lane:
        return Lane(key, self._store, self._healer, clock=self._clock, random=self._random, settings=self._settings)

    async def drain(self) -> None:
        """Let no new operation in, and wait for those that are."""
        self._closed = True
        await asyncio.gather(*(lane.drain() for lane in list(self._lanes.values())))
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    def _schedule_sweep(self) -> None:
        self._sweep = asyncio.get_running_loop().call_later(self._settings.idle_s / 2, self._drop_idle)

    def _drop_idle(self) -> None:
        self._sweep = None
        oldest_use = asyncio.get_running_loop().time() - self._settings.idle_s
        for key, lane in list(self._lanes.items()):
            if lane.used_at > oldest_use:
                break
            if not lane.is_busy:
                del self._lanes[key]
        if self._lanes:
            self._schedule_sweep()
