"""API processes: each with the real engine, or a baseline, and the callers who come to it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import accumulate
from random import Random
from typing import Final, TypeAlias

from counters import keys
from counters.engine import Engine, EngineSettings
from counters.errors import LimitReachedError, OverloadedError
from counters.keys import SERVICES, CounterKey
from counters.model import Account, Counter, Enforcement
from counters.stores.dynamodb.client import DynamoClient
from load.compare.baselines.entries import BASELINES, BaselineEntries
from load.compare.baselines.table import make_table
from load.model.client import ModelClient
from load.model.dynamo import ModelDynamo
from load.model.scenario import ENGINE, ModelStrategy, Scenario
from load.model.store import ModelStore
from load.model.table import ModelTable

RETRY_AFTER_S: Final = 1.0
"""How long a caller waits after an error: what the API asks for."""

_EPOCH_MS: Final = 1_790_000_000_000
_START_S: Final = 0.1
"""Callers start within this time, so that they do not march in step."""

_APPLICATION_TRIES: Final = 5
_APPLICATION_WAIT_S: Final = 0.05

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
        except OverloadedError:
            self.errors += 1
            return False
        except LimitReachedError:
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
            if scenario.strategy not in ENGINE:
                items = _baseline(scenario.strategy).items_of_account(key.account_id, scenario.limit)
                table.items.update({item[keys.PK]["S"]: item for item in items})
                continue
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
    create_entry: Callable[[CounterKey, str, str | None], Awaitable[object]]
    if scenario.strategy in ENGINE:
        settings = EngineSettings(services_slots=scenario.slots)
        engine = Engine(ModelStore(client), clock=_now_ms, random=client.random, settings=settings)
        create_entry = engine.entries.create
    else:
        table = make_table(DynamoClient(ModelDynamo(client, scenario.slots).send), "model", client.random)
        create_entry = _baseline(scenario.strategy)(table).create
    tries = _APPLICATION_TRIES if scenario.strategy is ModelStrategy.RETRIED_TRANSACTIONAL else 1

    async def create(key: CounterKey) -> None:
        """Create, and repeat what failed as an application would: with exponential waits and full jitter."""
        entry_id = f"{client.random.getrandbits(64):x}" if scenario.own_ids else None
        for attempt in range(tries - 1):
            with suppress(OverloadedError):
                await create_entry(key, "model", entry_id)
                return
            await asyncio.sleep(client.random.random() * _APPLICATION_WAIT_S * 2**attempt)
        await create_entry(key, "model", entry_id)

    return ModelProcess(client, create)


def _baseline(strategy: ModelStrategy) -> type[BaselineEntries]:
    if strategy is ModelStrategy.RETRIED_TRANSACTIONAL:
        strategy = ModelStrategy.TRANSACTIONAL
    return BASELINES[strategy]


def _now_ms() -> int:
    return _EPOCH_MS + int(asyncio.get_running_loop().time() * 1000)
