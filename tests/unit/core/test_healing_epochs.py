"""Releases and healings that overtake each other (``docs/design/engine.md``, section 7)."""

import asyncio

import pytest

from tests.support.engines import make_account
from tests.support.healing import (
    LATENCY_S,
    QUIET_S,
    Stream,
    fill,
    make_engine,
    over_count,
    stick_releases,
)
from tests.support.stores import WatchedStore
from tests.support.virtual_time import in_virtual_time


class TestEpochs:
    """A release that a healing overtook is dropped, as it may have been counted; too high is safe, too low is not."""

    @in_virtual_time
    async def test_a_release_that_the_recount_saw_is_dropped(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, other = make_engine(store), make_engine(store, seed=1)
        key = await make_account(engine)
        [created, _] = await fill(engine, key, 2)
        await asyncio.sleep(QUIET_S)
        stick_releases(store)
        deletion = asyncio.create_task(engine.entries.delete(key, created.entry.id))
        await asyncio.sleep(1)
        assert (await other.healer.heal(key)).total == 1
        store.faults.clear()
        async with asyncio.timeout(1):
            await deletion
        assert store.counter(key).best_effort == store.total(key) == 1
        # The lane knows the new epoch now: the next release counts.
        await engine.entries.delete(key, (await engine.entries.create(key, "next")).entry.id)
        assert store.counter(key).best_effort == store.total(key) == 1

    @in_virtual_time
    async def test_a_release_that_the_recount_did_not_see_is_dropped_and_the_next_healing_repairs(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, other = make_engine(store), make_engine(store, seed=1)
        key = await make_account(engine)
        [created, _] = await fill(engine, key, 2)
        await asyncio.sleep(QUIET_S)
        stick_releases(store)
        healing = asyncio.create_task(other.healer.heal(key))
        # The page has been read and its answer is on the way.
        await asyncio.sleep(LATENCY_S * 1.75)
        store.latency_s = 0.0
        deletion = asyncio.create_task(engine.entries.delete(key, created.entry.id))
        await asyncio.sleep(LATENCY_S / 8)
        assert store.total(key) == 1
        assert (await healing).total == 2
        store.faults.clear()
        await deletion
        await engine.drain()
        assert store.counter(key).best_effort == 2

        await asyncio.sleep(QUIET_S)
        await other.healer.heal(key)
        assert store.counter(key).best_effort == store.total(key) == 1

    @in_virtual_time
    async def test_a_release_dropped_by_a_healing_that_missed_its_delete_is_repaired_by_the_next_refusal(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, other = make_engine(store), make_engine(store, seed=1)
        key = await make_account(engine, limit=4)
        stream = Stream(store, key)
        [created, _] = await fill(engine, key, 2)
        await over_count(store, engine, key)
        await stream.settle()
        await asyncio.sleep(QUIET_S)
        stick_releases(store)
        healing = asyncio.create_task(other.healer.heal(key))
        await asyncio.sleep(LATENCY_S * 1.75)
        store.latency_s = 0.0
        deletion = asyncio.create_task(engine.entries.delete(key, created.entry.id))
        await healing
        store.faults.clear()
        await deletion
        assert (store.counter(key).best_effort, store.total(key)) == (3, 2)
        await engine.accounts.update(key.account_id, username=None, limit=3)
        await stream.settle()

        await asyncio.sleep(QUIET_S)
        await engine.entries.create(key, "fits after all")

    @in_virtual_time
    async def test_a_surplus_reservation_of_an_earlier_epoch_is_dropped(self) -> None:
        """A replay's reservation goes back in a flush of its own, which may be stuck until after a healing."""
        store = WatchedStore(LATENCY_S)
        engine, other = make_engine(store), make_engine(store, seed=1)
        key = await make_account(engine)
        await engine.entries.create(key, "first", "mine")
        assert (await engine.entries.create(key, "again", "mine")).replayed
        stick_releases(store)
        await asyncio.sleep(QUIET_S)
        assert store.counter(key).best_effort == 2
        await other.healer.heal(key)
        store.faults.clear()
        await engine.drain()
        assert store.counter(key).best_effort == store.total(key) == 1

    @pytest.mark.parametrize("creates_first", [True, False])
    def test_a_lane_that_missed_a_healing_drops_no_release_of_its_own(self, *, creates_first: bool) -> None:
        @in_virtual_time
        async def history() -> None:
            store = WatchedStore(LATENCY_S)
            engine, other = make_engine(store, idle_s=3600), make_engine(store, seed=1)
            key = await make_account(engine)
            created = await fill(engine, key, 2)
            await asyncio.sleep(QUIET_S)
            await other.healer.heal(key)
            created += await fill(engine, key, 1) if creates_first else []
            await engine.entries.delete(key, created[-1].entry.id)
            assert store.counter(key).best_effort == store.total(key) == len(created) - 1

        history()
