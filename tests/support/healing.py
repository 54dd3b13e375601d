"""Counters that went wrong, and the stream that settles them, for tests of healing."""

import asyncio
from collections.abc import Iterator

import msgspec

from counters.engine import Engine
from counters.healing.settings import HealingSettings
from counters.keys import CounterKey, page_id_of
from counters.lanes.settings import LaneSettings
from counters.model import Created
from counters.settlement import PageChange, settle_batch
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
    """The table's stream, and the Lambda behind it, which runs when told."""

    def __init__(self, store: WatchedStore, key: CounterKey) -> None:
        self._store = store
        self._key = key
        self._seen: dict[str, tuple[int, int, int]] = {}
        self._numbers: Iterator[int] = iter(range(1, 10**6))
        self.pending: list[PageChange] = []

    def record(self) -> None:
        """Make records of what happened to the ledger since the last call, as of now."""
        ledgers = (ledger for (owner, _), ledger in self._store._ledgers.items() if owner == self._key)
        now = dict.fromkeys((id_ for owner, id_ in self._store._nonces if owner == self._key), (0, 0, 0))
        for entry in (entry for ledger in ledgers for entry in ledger.values()):
            page_id = page_id_of(entry.id)
            now[page_id] = (now[page_id][0] + entry.amount, entry.revision, 0)
        for page_id, (total, revision, _) in now.items():
            before, revision_before, asked_before = self._seen.get(page_id, (0, 0, 0))
            asked = self._store._asked.get((self._key, page_id), 0)
            now[page_id] = (total, revision or revision_before, asked)
            if total != before or asked > asked_before:
                number = next(self._numbers)
                change = PageChange(self._key, number, before, total, now[page_id][1], asked_before, asked)
                self.pending.append(change)
        self._seen = now

    async def settle(self) -> None:
        """Record, then settle everything that is pending."""
        self.record()
        batch, self.pending = self.pending, []
        await settle_batch(self._store, SHARD, batch, virtual_clock())
