"""Random histories of deliveries: whatever the stream's delivery does short of losing records, the count is exact.

A history is drawn from its seed alone. Shards come and go: some live at the same time for most of a day, then others
take over, at once or days later. The stream delivers each shard's records in order and at least once; batches are cut
anywhere, start again anywhere before, run twice at the same moment, go on after their invocation was given up, and
fail half done. A counter is deleted in between.
"""

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress

import pytest

from counters.errors import NotAppliedError, OutcomeUnknownError
from counters.keys import CounterKey
from counters.settlement import PageChange, Settled, Settlement, SettlementReport, Unsettled, settle_batch
from counters.stores.memory import MemoryStore
from tests.support import factories

SEEDS = range(100)
COUNTERS = 4
GENERATIONS = 4
SHARDS = 3
RECORDS_MAX = 40
DELIVERIES_MAX = 1000

MINUTE_MS = 60 * 1000
HOUR_MS = 60 * MINUTE_MS
LIFETIME_MS = 20 * HOUR_MS
"""How long a generation of shards is read: below the 24 hours after which the stream drops a record."""


class FaultyStore(MemoryStore):
    """Takes random time for each call and fails at random, before or after its effect."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._rng = rng

    async def settle(self, key: CounterKey, settlement: Settlement) -> Settled | Unsettled:
        """See ``SettlementStore``."""
        await self._pass_time()
        if self._rng.random() < 0.1:
            raise NotAppliedError("throttled")
        answer = await super().settle(key, settlement)
        await self._pass_time()
        if self._rng.random() < 0.1:
            raise OutcomeUnknownError("answer lost")
        if self._rng.random() < 0.1:
            # The SDK did not get the answer either, and sends the write again.
            return await super().settle(key, settlement)
        return answer

    async def prune_marks(self, key: CounterKey, shards: Sequence[str], older_than_ms: int) -> None:
        """See ``SettlementStore``."""
        await self._pass_time()
        if self._rng.random() < 0.3:
            raise OutcomeUnknownError("request lost")
        await super().prune_marks(key, shards, older_than_ms)

    async def _pass_time(self) -> None:
        for _ in range(self._rng.choice((0, 1, 3, 30))):
            await asyncio.sleep(0)


class ForgetfulHistoryStore(FaultyStore):
    """Adds every delta that it is given: the mistake that the marks are there to prevent."""

    async def settle(self, key: CounterKey, settlement: Settlement) -> Settled | Unsettled:
        """See ``SettlementStore``."""
        self._marks.get(key, {}).clear()
        return await super().settle(key, settlement)


class SettlementHistory:
    """One random history over a store."""

    def __init__(self, rng: random.Random, store: FaultyStore) -> None:
        self._rng = rng
        self._store = store
        self._now_ms = factories.NOW_MS
        self._given_up: list[asyncio.Task[SettlementReport]] = []
        self._truth = {factories.counter_key(): 0 for _ in range(COUNTERS)}
        self._doomed = rng.choice(list(self._truth))

    async def run(self) -> tuple[dict[CounterKey, int], dict[CounterKey, int]]:
        """Play the history to its end; return what was counted and what is true."""
        for key in self._truth:
            await self._store.create_account(factories.account(key.account_id), factories.counter(key))
        for generation in range(GENERATIONS):
            await self._play(generation)
        counters = await self._store.read_counters(list(self._truth))
        return {key: counter.eventual or 0 for key, counter in counters.items()}, self._truth

    async def _play(self, generation: int) -> None:
        """Live through one generation of shards, then let time pass."""
        end_ms = self._now_ms + LIFETIME_MS
        await asyncio.gather(*(self._deliver(f"{generation}-{shard}", end_ms) for shard in range(SHARDS)))
        if generation == GENERATIONS // 2:
            await self._store.close_counter(self._doomed, self._now_ms)
            await self._store.delete_account(self._doomed, self._now_ms)
            del self._truth[self._doomed]
        # Invocations that were given up may still fail; what they did before is what matters.
        await asyncio.gather(*self._given_up, return_exceptions=True)
        self._now_ms = end_ms + self._rng.choice((0, 10, 20, 30, 60)) * HOUR_MS

    async def _deliver(self, shard: str, end_ms: int) -> None:
        """Deliver a shard: a batch never starts past what was settled, but may start anywhere before."""
        records = self._make_records()
        settled = deliveries = 0
        while settled < len(records):
            deliveries += 1
            assert deliveries < DELIVERIES_MAX, "the shard is stuck"
            self._now_ms = min(end_ms, self._now_ms + self._rng.choice((0, 1, 10 * MINUTE_MS, HOUR_MS)))
            start = self._rng.randint(0, settled)
            end = self._rng.randint(settled + 1, min(settled + 15, len(records)))
            delivery = asyncio.create_task(settle_batch(self._store, shard, records[start:end], self._now_ms))
            if self._rng.random() < 0.2:
                self._given_up.append(delivery)
                await asyncio.sleep(0)
                continue
            with suppress(ExceptionGroup):
                await delivery
                settled = end

    def _make_records(self) -> list[PageChange]:
        """Return a shard's records and add them to the truth."""
        sequence = self._rng.choice((0, 10**20, 10**29))
        records = []
        for _ in range(self._rng.randint(1, RECORDS_MAX)):
            sequence += self._rng.choice((1, 1, 1000))
            key, delta = self._rng.choice([*self._truth, self._doomed]), self._rng.choice((1, 1, -1, 5, -5))
            records.append(factories.page_change(key, sequence, delta))
            if key in self._truth:
                self._truth[key] += delta
        return records


@pytest.mark.parametrize("seed", SEEDS)
async def test_count_is_exact_after_any_history(seed: int) -> None:
    rng = random.Random(seed)
    counted, truth = await SettlementHistory(rng, FaultyStore(rng)).run()
    assert len(counted) == COUNTERS - 1
    assert counted == truth


async def test_history_catches_a_store_without_marks() -> None:
    """The canary: if this history ended well, the test above would prove nothing."""
    rng = random.Random(1)
    counted, truth = await SettlementHistory(rng, ForgetfulHistoryStore(rng)).run()
    assert counted != truth
