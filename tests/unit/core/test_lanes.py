"""Group commit, the limit, cheap refusals and the lanes' lifetime, on a store that takes time and fails as told."""

import asyncio
import gc
import weakref

import pytest

from counters.engine import Engine
from counters.errors import AccountNotFoundError, LimitReachedError, OverloadedError
from counters.keys import CounterKey
from counters.lanes.settings import LaneSettings
from counters.model import Enforcement
from tests.support import factories
from tests.support.callers import LATENCY_S, creates, outcomes_of
from tests.support.engines import ENFORCEMENTS, make_account, make_engine
from tests.support.stores import Fault, WatchedStore
from tests.support.virtual_time import in_virtual_time


class TestGroupCommit:
    """Many callers, one write."""

    @in_virtual_time
    async def test_concurrent_creates_share_a_flush(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine, limit=1000)
        created, failed = await outcomes_of(creates(engine.entries, key, 100))
        assert len({one.entry.id for one in created}) == 100
        assert not failed
        assert store.calls["change_counter"] <= 2
        assert store.calls["insert_page"] <= 5
        assert store.counter(key).best_effort == store.total(key) == 100

    @in_virtual_time
    async def test_a_lone_create_takes_one_flush_and_one_write(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine)
        await engine.entries.create(key, "first")
        before = asyncio.get_running_loop().time()
        await engine.entries.create(key, "second")
        assert asyncio.get_running_loop().time() - before == pytest.approx(2 * LATENCY_S)

    @in_virtual_time
    async def test_the_next_flush_runs_while_entries_are_written(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine)
        await engine.entries.create(key, "warm")
        loop = asyncio.get_running_loop()
        start = loop.time()
        first = asyncio.create_task(engine.entries.create(key, "first"))
        await asyncio.sleep(LATENCY_S * 0.5)
        second = asyncio.create_task(engine.entries.create(key, "second"))
        await asyncio.gather(first, second)
        assert loop.time() - start == pytest.approx(3 * LATENCY_S)

    @in_virtual_time
    async def test_a_flush_is_bounded(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store, lanes=LaneSettings(batch_max=10))
        key = await make_account(engine, limit=1000)
        created, _ = await outcomes_of(creates(engine.entries, key, 100))
        assert len(created) == 100
        assert store.calls["change_counter"] == 10


class TestFullCalls:
    """While a full call of 25 entries is being written, the next batch fills another one."""

    @in_virtual_time
    async def test_creates_that_come_while_a_full_call_is_written_share_the_next_flush(self) -> None:
        store, engine, key = await _make_warm_lane(linger_s=10 * LATENCY_S)
        start = asyncio.get_running_loop().time()
        full = asyncio.gather(*creates(engine.entries, key, 25))
        await asyncio.sleep(1.2 * LATENCY_S)
        early = asyncio.gather(*creates(engine.entries, key, 5))
        await asyncio.sleep(0.3 * LATENCY_S)
        late = asyncio.gather(*creates(engine.entries, key, 5))
        await asyncio.gather(full, early, late)
        assert store.calls["change_counter"] == 2
        assert asyncio.get_running_loop().time() - start == pytest.approx(4 * LATENCY_S)

    @in_virtual_time
    async def test_another_full_call_does_not_wait(self) -> None:
        _, engine, key = await _make_warm_lane(linger_s=10 * LATENCY_S)
        start = asyncio.get_running_loop().time()
        first = asyncio.gather(*creates(engine.entries, key, 25))
        await asyncio.sleep(1.2 * LATENCY_S)
        second = asyncio.gather(*creates(engine.entries, key, 25))
        await asyncio.gather(first, second)
        assert asyncio.get_running_loop().time() - start == pytest.approx(3.2 * LATENCY_S)

    @in_virtual_time
    async def test_nothing_waits_when_less_than_a_full_call_is_written(self) -> None:
        _, engine, key = await _make_warm_lane(linger_s=10 * LATENCY_S)
        start = asyncio.get_running_loop().time()
        first = asyncio.gather(*creates(engine.entries, key, 24))
        await asyncio.sleep(1.2 * LATENCY_S)
        await asyncio.gather(first, *creates(engine.entries, key, 1))
        assert asyncio.get_running_loop().time() - start == pytest.approx(3.2 * LATENCY_S)

    @in_virtual_time
    async def test_the_wait_is_bounded(self) -> None:
        _, engine, key = await _make_warm_lane(linger_s=0.1 * LATENCY_S)
        start = asyncio.get_running_loop().time()
        full = asyncio.gather(*creates(engine.entries, key, 25))
        await asyncio.sleep(1.2 * LATENCY_S)
        await asyncio.gather(full, *creates(engine.entries, key, 1))
        assert asyncio.get_running_loop().time() - start == pytest.approx(3.3 * LATENCY_S)

    @in_virtual_time
    async def test_releases_fill_a_call_as_creates_do(self) -> None:
        store, engine, key = await _make_warm_lane(linger_s=10 * LATENCY_S)
        doomed = await asyncio.gather(*creates(engine.entries, key, 2))
        store.calls.clear()
        # The first one's release finds the full call being written, and waits for it with the second one's.
        deletes = []
        for one in doomed:
            deletes.append(asyncio.create_task(engine.entries.delete(key, one.entry.id)))
            await asyncio.sleep(0.4 * LATENCY_S)
        await asyncio.gather(*creates(engine.entries, key, 25), *deletes)
        assert store.calls["change_counter"] == 2
        assert store.counter(key).best_effort == store.total(key) == 26


async def _make_warm_lane(*, linger_s: float) -> tuple[WatchedStore, Engine, CounterKey]:
    """Return an engine whose lane has seen its counter, with one entry in it."""
    store = WatchedStore(LATENCY_S)
    engine = make_engine(store, lanes=LaneSettings(linger_s=linger_s))
    key = await make_account(engine, limit=1000)
    await engine.entries.create(key, "warm")
    store.calls.clear()
    return store, engine, key


class TestLimit:
    """Never over it, and no room lost."""

    @in_virtual_time
    async def test_what_fits_is_granted_in_order_of_arrival_and_the_rest_refused(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine, limit=10)
        tasks = [asyncio.ensure_future(create) for create in creates(engine.entries, key, 25)]
        await asyncio.wait(tasks)
        assert [task.exception() is None for task in tasks] == [True] * 10 + [False] * 15
        assert all(isinstance(task.exception(), LimitReachedError) for task in tasks[10:])
        assert store.counter(key).best_effort == store.total(key) == 10

    @in_virtual_time
    async def test_processes_that_race_for_the_last_room_share_it_exactly(self) -> None:
        store = WatchedStore(LATENCY_S)
        engines = [make_engine(store, seed=seed) for seed in range(4)]
        key = await make_account(engines[0], limit=50)
        calls = [call for engine in engines for call in creates(engine.entries, key, 40)]
        created, failed = await outcomes_of(calls)
        assert len(created) == 50
        assert {type(error) for error in failed} == {LimitReachedError}
        assert store.counter(key).best_effort == store.total(key) == 50

    @in_virtual_time
    async def test_refusal_tells_limit_and_value(self) -> None:
        engine = make_engine(WatchedStore(LATENCY_S))
        key = await make_account(engine, limit=1)
        await engine.entries.create(key, "only")
        with pytest.raises(LimitReachedError) as refusal:
            await engine.entries.create(key, "one too many")
        assert (refusal.value.limit, refusal.value.value) == (1, 1)

    @in_virtual_time
    async def test_refusal_in_a_batch_counts_those_granted_before_it(self) -> None:
        engine = make_engine(WatchedStore(LATENCY_S))
        key = await make_account(engine, limit=3)
        _, failed = await outcomes_of(creates(engine.entries, key, 5))
        assert [(error.limit, error.value) for error in failed if isinstance(error, LimitReachedError)] == [(3, 3)] * 2

    @in_virtual_time
    async def test_a_limit_of_zero_refuses_everything(self) -> None:
        engine = make_engine(WatchedStore(LATENCY_S))
        key = await make_account(engine, limit=0)
        with pytest.raises(LimitReachedError):
            await engine.entries.create(key, "any")

    @in_virtual_time
    async def test_a_raised_limit_is_found_by_a_lane_that_saw_the_counter_full(self) -> None:
        engine = make_engine(WatchedStore(LATENCY_S))
        key = await make_account(engine, limit=0)
        with pytest.raises(LimitReachedError):
            await engine.entries.create(key, "early")
        await engine.accounts.update(key.account_id, username=None, limit=1)
        await asyncio.sleep(0.15)
        await engine.entries.create(key, "late")

    @in_virtual_time
    async def test_a_lowered_limit_is_obeyed_by_a_lane_that_knows_the_old_one(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, other = make_engine(store), make_engine(store)
        key = await make_account(engine, limit=10)
        await engine.entries.create(key, "first")
        await other.accounts.update(key.account_id, username=None, limit=1)
        with pytest.raises(LimitReachedError):
            await engine.entries.create(key, "second")
        assert store.total(key) == 1

    @in_virtual_time
    async def test_releases_do_not_admit_anyone_while_a_lowered_limit_is_exceeded(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine, limit=10)
        created, _ = await outcomes_of(creates(engine.entries, key, 10))
        await engine.accounts.update(key.account_id, username=None, limit=5)
        deletes = [engine.entries.delete(key, one.entry.id) for one in created[:3]]
        _, failed = await outcomes_of([*creates(engine.entries, key, 3)])
        await asyncio.gather(*deletes)
        _, more = await outcomes_of(creates(engine.entries, key, 3))
        assert {type(error) for error in [*failed, *more]} == {LimitReachedError}
        assert store.total(key) == store.counter(key).best_effort == 7


class TestRefusalsAreCheap:
    """A storm of refused callers costs reads, not writes, and few of them."""

    @in_virtual_time
    async def test_a_full_counter_is_read_at_most_a_hundred_times_a_second(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine, limit=1)
        await engine.entries.create(key, "only")
        store.calls.clear()
        loop = asyncio.get_running_loop()
        end = loop.time() + 2.0

        async def hammer() -> None:
            while loop.time() < end:
                with pytest.raises(LimitReachedError):
                    await engine.entries.create(key, "no room")
                await asyncio.sleep(0.001)

        await asyncio.gather(*(hammer() for _ in range(20)))
        # Two seconds hold 201 looks that are 10 ms apart.
        assert 0 < store.calls.total() <= 201
        assert set(store.calls) == {"read_counter"}

    @in_virtual_time
    @pytest.mark.parametrize("enforcement", ENFORCEMENTS)
    async def test_room_made_elsewhere_is_found_at_once(self, enforcement: Enforcement) -> None:
        store = WatchedStore(LATENCY_S)
        here, elsewhere = make_engine(store), make_engine(store, seed=1)
        key = await make_account(here, limit=1, enforcement=enforcement)
        only = await here.entries.create(key, "only")
        await asyncio.sleep(1)
        for _ in range(20):
            with pytest.raises(LimitReachedError):
                await here.entries.create(key, "no room")
            await elsewhere.entries.delete(key, only.entry.id)
            only = await here.entries.create(key, "room again")
            # Hybrid counts it after the answer.
            await asyncio.sleep(3 * LATENCY_S)

    @in_virtual_time
    async def test_own_release_ends_the_refusing_at_once(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine, limit=1)
        only = await engine.entries.create(key, "only")
        with pytest.raises(LimitReachedError):
            await engine.entries.create(key, "no room")
        await engine.entries.delete(key, only.entry.id)
        await engine.entries.create(key, "room again")
        assert store.counter(key).best_effort == store.total(key) == 1


class TestRefusalsAreTrue:
    """A create is refused only by a counter that was full while it waited, never by what is only planned."""

    @in_virtual_time
    async def test_a_place_that_was_planned_and_not_taken_goes_to_the_next_in_line(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine, limit=1)
        store.fail("change_counter", *[Fault.THROTTLED] * 3)
        first, second = [asyncio.ensure_future(create) for create in creates(engine.entries, key, 2)]
        await asyncio.sleep(2.5 * LATENCY_S)
        first.cancel()
        assert not (await second).replayed
        assert store.counter(key).best_effort == store.total(key) == 1

    @in_virtual_time
    async def test_a_counter_that_nobody_can_write_refuses_nobody(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine, limit=1)
        store.fail("change_counter", *[Fault.THROTTLED] * 10_000)
        _, failed = await outcomes_of(creates(engine.entries, key, 5))
        assert [type(error) for error in failed] == [OverloadedError] * 5

    @in_virtual_time
    async def test_repeats_of_a_create_take_no_place_from_others(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine, limit=2)
        await engine.entries.create(key, "mine", "order-17")
        repeats = [engine.entries.create(key, "mine", "order-17") for _ in range(5)]
        *repeated, other = await asyncio.gather(*repeats, engine.entries.create(key, "other"))
        assert [one.replayed for one in repeated] == [True] * 5
        assert not other.replayed
        assert store.counter(key).best_effort == store.total(key) == 2


class TestLifetime:
    """Lanes come and go; shutting down loses nothing."""

    @in_virtual_time
    async def test_idle_lanes_are_dropped_and_used_ones_stay(self) -> None:
        store = WatchedStore()
        engine = make_engine(store, lanes=LaneSettings(idle_s=10))
        keys = [await make_account(engine) for _ in range(50)]
        for key in keys:
            await engine.entries.create(key, "service")
        assert engine.lanes_in_use == 50
        for _ in range(5):
            await asyncio.sleep(4)
            await engine.entries.create(keys[0], "service")
        assert engine.lanes_in_use == 1
        await asyncio.sleep(20)
        assert engine.lanes_in_use == 0

    @in_virtual_time
    async def test_a_dropped_lane_leaves_memory_without_the_garbage_collector(self) -> None:
        engine = make_engine(WatchedStore(), lanes=LaneSettings(idle_s=10))
        key = await make_account(engine)
        await engine.entries.create(key, "service")
        lane = weakref.ref(engine._lanes.open(key))
        gc.collect()
        gc.disable()
        try:
            await asyncio.sleep(30)
            assert lane() is None
        finally:
            gc.enable()

    @in_virtual_time
    async def test_an_idle_engine_makes_no_calls(self) -> None:
        store = WatchedStore()
        engine = make_engine(store)
        key = await make_account(engine)
        await engine.entries.create(key, "service")
        store.calls.clear()
        await asyncio.sleep(3600)
        assert not store.calls

    @in_virtual_time
    async def test_drain_finishes_what_was_admitted_and_lets_nothing_new_in(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine, limit=100)
        tasks = [asyncio.ensure_future(create) for create in creates(engine.entries, key, 60)]
        await asyncio.sleep(0)
        await engine.drain()
        with pytest.raises(OverloadedError):
            await engine.entries.create(key, "too late")
        created, failed = await outcomes_of(tasks)
        assert len(created) == store.total(key) == store.counter(key).best_effort == 60
        assert not failed

    @in_virtual_time
    async def test_unknown_account_is_told_and_keeps_no_state(self) -> None:
        store = WatchedStore()
        engine = make_engine(store)
        key = factories.counter_key()
        with pytest.raises(AccountNotFoundError):
            await engine.entries.create(key, "service")
        assert store.total(key) == 0

    @in_virtual_time
    async def test_account_deleted_under_a_lane_is_unknown_from_then_on(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, other = make_engine(store), make_engine(store, seed=1)
        key = await make_account(engine)
        await engine.entries.create(key, "service")
        await other.accounts.delete(key.account_id)
        with pytest.raises(AccountNotFoundError):
            await engine.entries.create(key, "too late")
        assert store.total(key) == 0
