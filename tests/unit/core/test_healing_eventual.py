"""Resets of ``eventual``, and the fence (``docs/design/engine.md``, section 7)."""

import asyncio

import pytest

from counters.engine import Engine
from counters.errors import (
    CounterBusyError,
)
from counters.keys import CounterKey, Ledger
from counters.settlement import settle_batch
from tests.support import factories
from tests.support.engines import make_account, virtual_clock
from tests.support.healing import (
    LATENCY_S,
    QUIET_S,
    SETTLED_S,
    SHARD,
    Stream,
    fill,
    make_engine,
    over_count,
)
from tests.support.stores import WatchedStore
from tests.support.virtual_time import in_virtual_time


class TestEventual:
    """The exact counter is left to the stream until its records are surely through, or an operator forces it."""

    async def prepare(self, store: WatchedStore) -> tuple[Engine, CounterKey, Stream]:
        """Make three entries whose stream records are not settled yet."""
        engine = make_engine(store)
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
        await engine.healer.heal(key)
        counter = store.counter(key)
        assert (counter.best_effort, counter.eventual, counter.counted_from_ms) == (3, 0, None)
        assert not engine.healer.needs_healing(counter)
        await stream.settle()
        assert store.counter(key).eventual == 3

    @in_virtual_time
    async def test_it_is_set_when_the_stream_lost_records(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, key, stream = await self.prepare(store)
        stream.pending.clear()
        await asyncio.sleep(SETTLED_S)
        assert engine.healer.needs_healing(store.counter(key))
        await engine.healer.heal(key)
        assert (store.counter(key).eventual, store.counter(key).drift) == (3, 0)

    @in_virtual_time
    async def test_verified_counter_needs_another_healing_once_the_stream_is_surely_through(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, key, _ = await self.prepare(store)
        await asyncio.sleep(QUIET_S)
        await engine.healer.heal(key)
        assert not engine.healer.needs_healing(store.counter(key))
        await asyncio.sleep(SETTLED_S)
        assert engine.healer.needs_healing(store.counter(key))

    @pytest.mark.parametrize("forced", [True, False])
    def test_late_records_are_not_counted_twice_and_new_ones_are_counted(self, *, forced: bool) -> None:
        @in_virtual_time
        async def history() -> None:
            store = WatchedStore(LATENCY_S)
            engine, key, stream = await self.prepare(store)
            await asyncio.sleep(QUIET_S if forced else SETTLED_S)
            await engine.healer.heal(key, reset_eventual=forced)
            assert store.counter(key).eventual == 3
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
        await engine.healer.heal(key, reset_eventual=True)
        await stream.settle()
        assert store.counter(key).eventual == store.total(key) == 3

    @in_virtual_time
    async def test_a_redelivery_across_a_reset_counts_nothing_twice(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, key, stream = await self.prepare(store)
        old = list(stream.pending)
        await asyncio.sleep(QUIET_S)
        await engine.healer.heal(key, reset_eventual=True)
        await fill(engine, key, 1)
        stream.record()
        batch = list(stream.pending)
        for delivery in (old, batch, batch, old):
            await settle_batch(store, SHARD, delivery, virtual_clock())
        assert store.counter(key).eventual == store.total(key) == 4

    @in_virtual_time
    async def test_a_delete_just_before_the_recount_that_is_never_released_is_repaired_by_the_next_reset(self) -> None:
        """The process died between delete and release, and the delete's record is newer than the fence."""
        store = WatchedStore(LATENCY_S)
        engine, key, stream = await self.prepare(store)
        await stream.settle()
        [entry, *_], _ = await store.list_entries(key, 0, 10, None)
        await asyncio.sleep(QUIET_S)
        await store.delete_entries(Ledger(key, 1), [entry], factories.NOW_MS)
        await engine.healer.heal(key, reset_eventual=True)
        await stream.settle()
        assert (store.counter(key).best_effort, store.counter(key).eventual, store.total(key)) == (2, 1, 2)

        await asyncio.sleep(SETTLED_S)
        assert engine.healer.needs_healing(store.counter(key))
        await engine.healer.heal(key)
        assert store.counter(key).eventual == store.counter(key).best_effort == store.total(key) == 2

    @in_virtual_time
    async def test_a_delete_settled_during_the_recount_but_missed_by_it_stays_visible(self) -> None:
        """The process died between delete and release: the counter's revision does not tell of the delete."""
        store = WatchedStore(LATENCY_S)
        engine, key, stream = await self.prepare(store)
        await over_count(store, engine, key)
        await stream.settle()
        [entry, *_], _ = await store.list_entries(key, 0, 10, None)
        await asyncio.sleep(SETTLED_S)
        healing = asyncio.create_task(engine.healer.heal(key))
        await asyncio.sleep(LATENCY_S * 1.75)
        store.latency_s = 0.0
        await store.delete_entries(Ledger(key, 1), [entry], factories.NOW_MS)
        await stream.settle()
        await asyncio.gather(healing, return_exceptions=True)

        await asyncio.sleep(SETTLED_S)
        counter = store.counter(key)
        assert counter.best_effort == store.total(key) or engine.healer.needs_healing(counter)

    @in_virtual_time
    async def test_force_does_not_make_a_counter_in_use_quiet(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, key, _ = await self.prepare(store)
        with pytest.raises(CounterBusyError):
            await engine.healer.heal(key, reset_eventual=True)
        assert store.counter(key).eventual == 0
