"""API processes: each with the real engine, or a baseline, and the callers who come to it."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import accumulate
from random import Random
from typing import Final, TypeAlias

from counters.engine import Engine, EngineSettings
from counters.errors import LimitReachedError, NotAppliedError, OverloadedError
from counters.keys import SERVICES, CounterKey
from counters.model import Account, Counter, Enforcement
from load.model.baselines import (
    AtomicUpdate,
    Baseline,
    LimitError,
    ModelConditional,
    ModelSharded,
    ModelTransactional,
    RetriedTransactional,
)
from load.model.client import ModelClient
from load.model.scenario import ENGINE, ModelStrategy, Scenario
from load.model.store import ModelStore
from load.model.table import ModelTable

RETRY_AFTER_S: Final = 1.0
"""How long a caller waits after an error: what the API asks for."""

_EPOCH_MS: Final = 1_790_000_000_000
_START_S: Final = 0.1
"""Callers start within this time, so that they do not march in step."""

_BASELINES: Final[dict[ModelStrategy, type[Baseline]]] = {
    ModelStrategy.TRANSACTIONAL: ModelTransactional,
    ModelStrategy.RETRIED_TRANSACTIONAL: RetriedTransactional,
    ModelStrategy.CONDITIONAL: ModelConditional,
    ModelStrategy.ATOMIC_UPDATE: AtomicUpdate,
    ModelStrategy.SHARDED: ModelSharded,
}

Create: TypeAlias = Callable[[CounterKey], Awaitable[object]]


class ModelProcess:
    """One API process and its tally.

    Attributes:
        client: Its way to the table.
        latencies_s: Of the creates that succeeded.
        refused: Creates for which there was no room.
        errors: Creates that got neither a yes nor a no.
    """

    def __init__(self, client: ModelClient, create: Create) -> None:
        self.client = client
        self._create = create
        self.latencies_s: list[float] = []
        self.refused = 0
        self.errors = 0

    def forget(self) -> None:
        """Start the tally over."""
        self.latencies_s.clear()
        self.refused = self.errors = 0

    async def serve(self, key: CounterKey) -> bool:
        """Serve one request; False when the caller got an error."""
        loop = asyncio.get_running_loop()
        arrived_at = loop.time()
        await self.client.core.work(self.client.cpu.request_ms / 1000)
        try:
            await self._create(key)
        except (OverloadedError, NotAppliedError):
            self.errors += 1
            return False
        except (LimitReachedError, LimitError):
            self.refused += 1
        else:
            self.latencies_s.append(loop.time() - arrived_at)
        return True

    async def call(self, pick: Callable[[], CounterKey]) -> None:
        """Be a caller who sends the next create when the last one was answered."""
        await asyncio.sleep(self.client.random.uniform(0, _START_S))
        while True:
            if not await self.serve(pick()):
                await asyncio.sleep(RETRY_AFTER_S)

    async def receive(self, pick: Callable[[], CounterKey], rate_per_s: float) -> None:
        """Get creates at random times, whatever the answers."""
        under_way: set[asyncio.Task[bool]] = set()
        while True:
            await asyncio.sleep(self.client.random.expovariate(rate_per_s))
            task = asyncio.create_task(self.serve(pick()))
            under_way.add(task)
            task.add_done_callback(under_way.discard)


class ModelAccounts:
    """The accounts of a run, and which of them the next create is on."""

    def __init__(self, scenario: Scenario) -> None:
        self.keys = [CounterKey(f"account-{number}", SERVICES) for number in range(scenario.accounts)]
        self._weights = list(accumulate((rank + 1) ** -scenario.skew for rank in range(scenario.accounts)))

    def picker(self, random: Random) -> Callable[[], CounterKey]:
        """Return what picks an account for a create."""
        if len(self.keys) == 1:
            return lambda: self.keys[0]
        return lambda: random.choices(self.keys, cum_weights=self._weights)[0]

    async def store(self, table: ModelTable, scenario: Scenario) -> None:
        """Put them into the table, free of charge."""
        enforcement = Enforcement.HYBRID if scenario.strategy is ModelStrategy.HYBRID else Enforcement.STRICT
        for key in self.keys:
            account = Account(id=key.account_id, username="model", created_at_ms=_EPOCH_MS)
            counter = Counter(
                key=key,
                limit=scenario.limit,
                enforcement=enforcement,
                slots=scenario.slots,
                touched_at_ms=_EPOCH_MS,
            )
            await table.memory.create_account(account, counter)


def make_process(client: ModelClient, scenario: Scenario) -> ModelProcess:
    """Return a process that keeps the limit in the scenario's way."""
    if scenario.strategy not in ENGINE:
        return ModelProcess(client, _BASELINES[scenario.strategy](client, scenario.limit, scenario.slots).create)
    settings = EngineSettings(services_slots=scenario.slots)
    engine = Engine(ModelStore(client), clock=_now_ms, random=client.random, settings=settings)

    def create(key: CounterKey) -> Awaitable[object]:
        entry_id = f"{client.random.getrandbits(64):x}" if scenario.own_ids else None
        return engine.entries.create(key, "model", entry_id)

    return ModelProcess(client, create)


def _now_ms() -> int:
    return _EPOCH_MS + int(asyncio.get_running_loop().time() * 1000)
