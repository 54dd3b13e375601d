"""Random histories: several processes at work while the enforcement changes and calls fail.

The store checks at every write that a strict counter has the ledger's total or more.
"""

import asyncio
from random import Random

import pytest

from counters.engine import Engine
from counters.errors import CounterError
from counters.keys import CounterKey
from counters.model import Enforcement
from stack.harness.virtual_time import run_in_virtual_time
from tests.support.engines import ENFORCEMENTS, make_account
from tests.support.healing import LATENCY_S, make_engine
from tests.support.stores import Fault, OneSidedRuleBrokenError, WatchedStore

FAULTS = (Fault.THROTTLED, Fault.REQUEST_LOST, Fault.ANSWER_LOST)
CHANGES = 10
BUSY_CALLS_PER_S = 5.0
IDLE_CALLS_PER_S = 0.05
METHODS = ("read_counter", "change_counter", "insert_page", "read_entry", "delete_entries", "set_terms", "heal_counter")


class NotingStore(WatchedStore):
    """Notes where the one-sided rule is broken, and goes on: an error would leave the engine hanging.

    Attributes:
        broken: What was wrong.
    """

    def __init__(self) -> None:
        super().__init__(LATENCY_S)
        self.broken: list[str] = []

    def check(self, key: CounterKey) -> None:
        """See ``WatchedStore``."""
        try:
            super().check(key)
        except OneSidedRuleBrokenError as error:
            self.broken.append(str(error))


class EnforcementWorld:
    """An account that some callers use through three processes.

    Attributes:
        strict: How often the account had become strict.
        created: Creates that were answered.
        store: What they all work on.
    """

    def __init__(self, seed: int) -> None:
        self.strict = 0
        self.created = 0
        self._random = Random(seed)
        self.store = NotingStore()
        self._engines = [make_engine(self.store, seed=3 * seed + number) for number in range(3)]
        self._ids: list[str] = []
        self._is_busy = True

    async def live(self) -> None:
        """Change the enforcement now and then, while callers are at work."""
        limit = self._random.choice([5, 20, 100])
        key = await make_account(self._engines[0], limit=limit, enforcement=self._random.choice(ENFORCEMENTS))
        self._fail_later()
        callers = [asyncio.create_task(self._call(engine, key)) for engine in self._engines for _ in range(4)]
        for _ in range(CHANGES):
            await asyncio.sleep(self._random.uniform(1, 20))
            await self._change(key)
            if self._random.random() < 0.7:
                self._is_busy = False
                await asyncio.sleep(self._random.uniform(25, 60))
                self._is_busy = True
            self.strict += self.store.counter(key).enforcement is Enforcement.STRICT
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
        self.store.faults.clear()
        await asyncio.gather(*(engine.drain() for engine in self._engines))
        self.store.check(key)

    def _fail_later(self) -> None:
        rate = self._random.choice([0.1, 0.3])
        for method in METHODS:
            plan = [self._random.choice(FAULTS) if self._random.random() < rate else None for _ in range(20_000)]
            self.store.fail(method, *plan)

    async def _change(self, key: CounterKey) -> None:
        engine, wanted = self._random.choice(self._engines), self._random.choice(ENFORCEMENTS)
        try:
            await engine.accounts.update(key.account_id, enforcement=wanted)
        except CounterError:
            return

    async def _call(self, engine: Engine, key: CounterKey) -> None:
        while True:
            calls_per_s = BUSY_CALLS_PER_S if self._is_busy else IDLE_CALLS_PER_S
            await asyncio.sleep(self._random.expovariate(calls_per_s))
            try:
                if self._ids and self._random.random() < 0.45:
                    await engine.entries.delete(key, self._ids.pop(self._random.randrange(len(self._ids))))
                else:
                    self._ids.append((await engine.entries.create(key, "service")).entry.id)
                    self.created += 1
            except CounterError:
                continue


@pytest.mark.parametrize("seed", range(3))
def test_a_strict_counter_is_never_below_its_ledger_whatever_it_was_before(seed: int) -> None:
    world = EnforcementWorld(seed)
    run_in_virtual_time(world.live())
    assert not world.store.broken, world.store.broken[0]
    assert world.strict
    assert world.created > 100
