"""Random histories: several engines over one store that fails at random, under virtual time.

Each seed is one reproducible history. ``WatchedStore`` asserts the one-sided rule at every write; here the callers'
side is checked: what was acknowledged is in the ledger, what was refused or deleted is not.
"""

import asyncio
from collections import deque
from random import Random

import pytest

from counters.engine import Engine
from counters.entries import Entries
from counters.errors import EntryNotFoundError, LimitReachedError, OverloadedError
from counters.keys import CounterKey
from counters.lanes import LaneSettings
from tests.engines import make_account, make_engine
from tests.stores import Fault, WatchedStore
from tests.virtual_time import in_virtual_time

SEEDS = 400
_METHODS = ("change_counter", "write_entries", "insert_entry", "delete_entry", "read_counter", "read_entry")
_PROVEN = {Fault.THROTTLED}


class Caller:
    """One client: creates and deletes at random and remembers what it was told."""

    def __init__(self, random: Random, entries: Entries, key: CounterKey) -> None:
        self._random = random
        self._entries = entries
        self._key = key
        self.alive: dict[str, str] = {}
        self.deleted: set[str] = set()
        self.doubtful: set[str] = set()
        self.refused: set[str] = set()

    async def run(self, steps: int) -> None:
        """Do so many operations, one after the other."""
        for step in range(steps):
            await asyncio.sleep(self._random.uniform(0, 0.02))
            if self.alive and self._random.random() < 0.45:
                await self._delete(self._random.choice(sorted(self.alive)))
            else:
                await self._create(f"service {step}")

    async def _create(self, name: str) -> None:
        own_id = f"own-{self._random.getrandbits(40):x}" if self._random.random() < 0.3 else None
        try:
            created = await self._entries.create(self._key, name, own_id)
        except LimitReachedError:
            if own_id:
                self.refused.add(own_id)
        except OverloadedError:
            if own_id:
                self.doubtful.add(own_id)
        else:
            assert created.entry.name == name
            self.alive[created.entry.id] = name

    async def _delete(self, entry_id: str) -> None:
        del self.alive[entry_id]
        try:
            await self._entries.delete(self._key, entry_id)
        except OverloadedError:
            self.doubtful.add(entry_id)
        except EntryNotFoundError as error:
            raise AssertionError("only this caller deletes this entry") from error
        else:
            self.deleted.add(entry_id)


def plan_faults(store: WatchedStore, random: Random, share: float) -> list[Fault]:
    """Let a share of the next calls of each method fail; return what can leave a doubt behind."""
    for method in _METHODS:
        faults = [random.choice(list(Fault)) if random.random() < share else None for _ in range(400)]
        store.faults[method] = deque(faults)
    return [fault for plan in store.faults.values() for fault in plan if fault and fault not in _PROVEN]


async def run_history(seed: int) -> None:
    """Play one history and check its end."""
    random = Random(seed)
    store = WatchedStore(latency_s=random.choice([0.0, 0.002, 0.02]))
    lanes = LaneSettings(batch_max=random.choice([3, 1000]), full_for_s=random.choice([0.0, 0.1]))
    engines = [make_engine(store, seed=seed + n, lanes=lanes, slots=random.choice([1, 4])) for n in range(3)]
    key = await make_account(engines[0], limit=random.choice([1, 5, 20]))
    share = random.choice([0.0, 0.05, 0.4])
    plan_faults(store, random, share)
    callers = [Caller(Random(random.random()), engine.entries, key) for engine in engines for _ in range(4)]
    await asyncio.gather(*(caller.run(12) for caller in callers))
    store.faults.clear()
    await asyncio.gather(*(engine.drain() for engine in engines))
    await check_end(store, engines, key, callers, share)


async def check_end(
    store: WatchedStore, engines: list[Engine], key: CounterKey, callers: list[Caller], share: float
) -> None:
    """Check what callers were told against the ledger."""
    slots = store.counter(key).slots
    ledger = {
        entry.id: entry for slot in range(slots) for entry in (await store.list_entries(key, slot, 1000, None))[0]
    }
    for caller in callers:
        assert caller.alive.keys() <= ledger.keys(), "an acknowledged create was lost"
        assert not caller.deleted & ledger.keys(), "an acknowledged delete came back"
        assert not caller.refused & ledger.keys(), "a refused create appeared"
    assert store.total(key) <= store.counter(key).best_effort <= (store.counter(key).limit or 0)
    if share == 0.0:
        assert store.total(key) == store.counter(key).best_effort, "room was lost without any fault"
    assert engines


@pytest.mark.parametrize("seed", range(SEEDS))
def test_random_history(seed: int) -> None:
    in_virtual_time(run_history)(seed)
