"""Counters that went wrong, and the stream that settles them, for tests of healing."""

import asyncio
from collections.abc import Iterator

import msgspec

from counters.engine import Engine
from counters.healing.healer import HealingSettings
from counters.keys import CounterKey
from counters.lanes.settings import LaneSettings
from counters.model import Created
from counters.settlement import EntryChange, settle_batch
from tests.support.engines import make_engine as make_engine_with_clock
from tests.support.engines import virtual_clock
from tests.support.stores import Fault, WatchedStore

LATENCY_S = 0.004
QUIET_S = HealingSettings().heal_after_s
SETTLED_S = HealingSettings().settled_s
SHARD = "shard"


def make_engine(store: WatchedStore, *, seed: int = 0, slots: int = 1, idle_s: float = 10.0) -> Engine:
    """Return an engine whose clock follows the virtual time."""
    return make_engine_with_clock(store, seed=seed, slots=slots, clock=virtual_clock, lanes=LaneSettings(idle_s=idle_s))


async def fill(engine: Engine, key: CounterKey, number: int) -> list[Created]:
    """Create a number of entries side by side."""
    return await asyncio.gather(*(engine.entries.create(key, f"service {n}") for n in range(number)))


async def over_count(store: WatchedStore, engine: Engine, key: CounterKey) -> None:
    """Create an entry whose reservation is made twice, as the first answer is lost."""
    store.fail("change_counter", Fault.ANSWER_LOST)
    await engine.entries.create(key, "counted twice")
    assert store.counter(key).best_effort == store.total(key) + 1


def corrupt(store: WatchedStore, key: CounterKey, *, best_effort: int, eventual: int) -> None:
    """Set a counter to anything, behind everybody's back."""
    store._counters[key] = msgspec.structs.replace(store.counter(key), best_effort=best_effort, eventual=eventual)


def stick_releases(store: WatchedStore) -> None:
    """Let no flush through until the faults are cleared."""
    store.fail("change_counter", *[Fault.THROTTLED] * 10_000)


class Stream:
    """The table's stream, to the second like the real one, and the Lambda behind it, which runs when told."""

    def __init__(self, store: WatchedStore, key: CounterKey) -> None:
        self._store = store
        self._key = key
        self._seen: dict[str, int] = {}
        self._numbers: Iterator[int] = iter(range(1, 10**6))
        self.pending: list[EntryChange] = []

    def record(self) -> None:
        """Make records of what happened to the ledger since the last call, as of now."""
        ledgers = (ledger for (owner, _), ledger in self._store._ledgers.items() if owner == self._key)
        now = {entry.id: entry.amount for ledger in ledgers for entry in ledger.values()}
        deltas = [now[id_] for id_ in now.keys() - self._seen.keys()]
        deltas += [-self._seen[id_] for id_ in self._seen.keys() - now.keys()]
        at_ms = virtual_clock() // 1000 * 1000
        self.pending += [EntryChange(self._key, next(self._numbers), delta, at_ms) for delta in deltas]
        self._seen = now

    async def settle(self) -> None:
        """Record, then settle everything that is pending."""
        self.record()
        batch, self.pending = self.pending, []
        await settle_batch(self._store, SHARD, batch, virtual_clock())
