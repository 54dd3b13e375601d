"""Censuses: recounts of ``eventual`` through the stream (``docs/design/engine.md``, section 7)."""

import asyncio
from contextlib import suppress

import pytest

from counters.engine import Engine
from counters.errors import CounterBusyError
from counters.keys import CounterKey, Ledger
from counters.model import Counter, Enforcement
from counters.settlement import settle_batch
from tests.support import factories
from tests.support.engines import make_account, virtual_clock
from tests.support.healing import (
    LATENCY_S,
    QUIET_S,
    SETTLED_S,
    SHARD,
    Stream,
    corrupt,
    fill,
    make_engine,
)
from tests.support.stores import WatchedStore
from tests.support.virtual_time import in_virtual_time


class TestEventual:
    """The exact counter is the stream's. What the stream lost, a census makes up for."""

    async def prepare(self, store: WatchedStore, slots: int = 1) -> tuple[Engine, CounterKey, Stream]:
        """Make three entries whose stream records are not settled yet."""
        engine = make_engine(store, slots=slots)
        key = await make_account(engine)
        stream = Stream(store, key)
        await fill(engine, key, 3)
        stream.record()
        return engine, key, stream

    @in_virtual_time
    async def test_it_is_left_alone_before_the_stream_is_surely_through(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, key, stream = await self.prepare(store)
        await asyncio.sleep(SETTLED_S - 1)
        await engine.healer.reconcile(key)
        counter = store.counter(key)
        assert (counter.best_effort, counter.eventual, counter.census) == (3, 0, None)
        assert not engine.healer.is_due(counter)
        await stream.settle()
        assert store.counter(key).eventual == 3

    @pytest.mark.parametrize("slots", [1, 4])
    def test_it_is_recounted_when_the_stream_lost_records(self, slots: int) -> None:
        @in_virtual_time
        async def history() -> None:
            store = WatchedStore(LATENCY_S)
            engine, key, stream = await self.prepare(store, slots)
            stream.pending.clear()
            await asyncio.sleep(SETTLED_S)
            assert engine.healer.is_due(store.counter(key))
            await engine.healer.reconcile(key)
            await stream.settle()
            counter = store.counter(key)
            assert (counter.eventual, counter.drift, counter.census) == (3, 0, None)
            assert not engine.healer.is_due(counter)

        history()

    @in_virtual_time
    async def test_empty_ledger_needs_no_answer(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine)
        corrupt(store, key, best_effort=0, eventual=7)
        await asyncio.sleep(SETTLED_S)
        after = (await engine.healer.reconcile(key)).after
        assert (after.best_effort, after.eventual) == (0, 0)

    @in_virtual_time
    async def test_verified_counter_needs_another_healing_once_the_stream_is_surely_through(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, key, _ = await self.prepare(store)
        await asyncio.sleep(QUIET_S)
        await engine.healer.heal(key)
        assert not engine.healer.needs_healing(store.counter(key))
        await asyncio.sleep(SETTLED_S)
        assert engine.healer.needs_healing(store.counter(key))
        await engine.healer.heal(key)
        assert not engine.healer.needs_healing(store.counter(key))

    @pytest.mark.parametrize("forced", [True, False])
    def test_late_records_are_not_counted_twice_and_new_ones_are_counted(self, *, forced: bool) -> None:
        @in_virtual_time
        async def history() -> None:
            store = WatchedStore(LATENCY_S)
            engine, key, stream = await self.prepare(store)
            await asyncio.sleep(QUIET_S if forced else SETTLED_S)
            await engine.healer.reconcile(key, recount_eventual=forced)
            await fill(engine, key, 2)
            await stream.settle()
            assert store.counter(key).eventual == store.counter(key).best_effort == store.total(key) == 5

        history()

    @in_virtual_time
    async def test_late_records_of_deletes_are_not_counted_twice_either(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, key, stream = await self.prepare(store)
        await stream.settle()
        [created] = await fill(engine, key, 1)
        stream.record()
        await engine.entries.delete(key, created.entry.id)
        stream.record()
        await asyncio.sleep(QUIET_S)
        await engine.healer.reconcile(key, recount_eventual=True)
        await stream.settle()
        assert store.counter(key).eventual == store.total(key) == 3

    @in_virtual_time
    async def test_a_redelivery_across_a_census_counts_nothing_twice(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, key, stream = await self.prepare(store)
        old = list(stream.pending)
        await asyncio.sleep(QUIET_S)
        await engine.healer.reconcile(key, recount_eventual=True)
        await fill(engine, key, 1)
        stream.record()
        batch = list(stream.pending)
        for delivery in (old, batch, batch, old):
            await settle_batch(store, SHARD, delivery, virtual_clock())
        assert store.counter(key).eventual == store.total(key) == 4

    @in_virtual_time
    async def test_forced_twice_in_a_row_counts_nothing_twice(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, key, stream = await self.prepare(store)
        await asyncio.sleep(QUIET_S)
        for _ in range(2):
            await engine.healer.reconcile(key, recount_eventual=True)
            await stream.settle()
            assert store.counter(key).eventual == 3

    @in_virtual_time
    async def test_a_delete_just_before_the_recount_that_is_never_released_counts_once(self) -> None:
        """The process died between delete and release. By time, the record would be newer than the recount."""
        store = WatchedStore(LATENCY_S)
        engine, key, stream = await self.prepare(store)
        await stream.settle()
        [entry, *_], _ = await store.list_entries(key, 0, 10, None)
        await asyncio.sleep(QUIET_S)
        await store.delete_entries(Ledger(key, 1), [entry], factories.NOW_MS)
        await engine.healer.reconcile(key, recount_eventual=True)
        await stream.settle()
        assert (store.counter(key).best_effort, store.counter(key).eventual, store.total(key)) == (2, 2, 2)

    @in_virtual_time
    async def test_counter_in_use_is_recounted_by_force_while_callers_go_on(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, key, stream = await self.prepare(store)
        stream.pending.clear()
        with pytest.raises(CounterBusyError):
            await engine.healer.reconcile(key, recount_eventual=True)
        for _ in range(round(QUIET_S)):
            await asyncio.sleep(1)
            [created] = await fill(engine, key, 1)
            await engine.entries.delete(key, created.entry.id)
            await stream.settle()
        await engine.healer.reconcile(key, recount_eventual=True)
        await fill(engine, key, 1)
        await stream.settle()
        counter = store.counter(key)
        assert counter.eventual == counter.best_effort == store.total(key) == 4
        assert counter.census is None

    @in_virtual_time
    async def test_lost_batch_of_a_counter_that_is_never_quiet_is_found_within_a_day(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, key, stream = await self.prepare(store)
        await engine.entries.create(key, "never settled")
        stream.record()
        stream.pending.clear()
        for _ in range(26 * 60 * 60 // 10):
            await asyncio.sleep(10)
            [created] = await fill(engine, key, 1)
            await engine.entries.delete(key, created.entry.id)
            await stream.settle()
            if store.counter(key).drift == 0 and store.counter(key).last_census is not None:
                break
            with suppress(CounterBusyError):
                if engine.healer.is_due(store.counter(key)):
                    await engine.healer.reconcile(key)
        assert store.counter(key).eventual == store.total(key) == 4

    @in_virtual_time
    async def test_quiet_hybrid_counter_is_healed_while_its_census_waits(self) -> None:
        """A sweep counts it as healed. Only a request that forces the census answers 409, until the census ends."""
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine, enforcement=Enforcement.HYBRID)
        corrupt(store, key, best_effort=2, eventual=7)
        await asyncio.sleep(SETTLED_S)
        diagnosis = await engine.healer.reconcile(key)
        assert diagnosis.healed
        assert isinstance(diagnosis.after, Counter)
        assert diagnosis.after.best_effort == 0
        assert diagnosis.after.census is not None
        with pytest.raises(CounterBusyError):
            await engine.healer.reconcile(key, recount_eventual=True)
        await asyncio.sleep(2 * QUIET_S)
        await engine.healer.reconcile(key)
        assert store.counter(key).eventual == 0

    @in_virtual_time
    async def test_census_whose_asker_died_is_begun_anew(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, key, stream = await self.prepare(store)
        stream.pending.clear()
        await asyncio.sleep(QUIET_S)
        asking = asyncio.create_task(engine.healer.reconcile(key, recount_eventual=True))
        while not _is_asking(store.counter(key)):  # noqa: ASYNC110 - it looks from outside
            await asyncio.sleep(LATENCY_S / 4)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        other = make_engine(store, seed=1)
        with pytest.raises(CounterBusyError):
            await other.healer.reconcile(key, recount_eventual=True)
        await asyncio.sleep(SETTLED_S)
        await other.healer.reconcile(key)
        await stream.settle()
        assert store.counter(key).eventual == store.total(key) == 3
        assert store.counter(key).census is None


def _is_asking(counter: Counter) -> bool:
    return counter.census is not None and counter.census.asked_at_ms is not None
