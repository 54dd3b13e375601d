"""Reservations made ahead: few flushes under load, none of them lost, and nobody is refused because of them."""

import asyncio
import gc
import weakref
from contextlib import suppress

import pytest

from counters.engine import Engine
from counters.errors import LimitReachedError, OverloadedError
from counters.keys import CounterKey
from counters.lanes.lease import Lease, LeaseSettings
from counters.lanes.queue import Queue
from counters.lanes.settings import LaneSettings
from counters.model import Change, Changed, Refused
from tests.support import factories
from tests.support.callers import LATENCY_S, creates
from tests.support.engines import make_account, make_engine, virtual_clock
from tests.support.hands import MemoryHand
from tests.support.stores import Fault, WatchedStore
from tests.support.virtual_time import in_virtual_time

CALLERS = 64
LASTS_S = LeaseSettings().lasts_s


async def make_counter(limit: int = 1_000_000) -> tuple[WatchedStore, Engine, CounterKey]:
    """Return a store, an engine on it and a counter with room for a lease unless the limit says otherwise."""
    store = WatchedStore(LATENCY_S)
    engine = make_engine(store)
    return store, engine, await make_account(engine, limit=limit)


async def create_for(engine: Engine, key: CounterKey, seconds: float) -> int:
    """Let many callers create one after the other until the time is up or they are refused; return how many made."""
    until = asyncio.get_running_loop().time() + seconds

    async def call() -> int:
        made = 0
        with suppress(LimitReachedError):
            while asyncio.get_running_loop().time() < until:
                await engine.entries.create(key, "load")
                made += 1
        return made

    return sum(await asyncio.gather(*(call() for _ in range(CALLERS))))


class TestUnderLoad:
    """A lane in heavy use."""

    @in_virtual_time
    async def test_most_creates_wait_for_no_flush_after_a_hand_took_the_revision_back(self) -> None:
        store, engine, key = await make_counter()
        await create_for(engine, key, 2)
        MemoryHand(store).set_counter(key, "revision", {"N": "0"})
        flushes = store.calls["change_counter"]
        made = await create_for(engine, key, 1)
        assert (store.calls["change_counter"] - flushes) * 500 < made

    @in_virtual_time
    async def test_most_creates_wait_for_no_flush(self) -> None:
        store, engine, key = await make_counter()
        await create_for(engine, key, 2)
        flushes = store.calls["change_counter"]
        made = await create_for(engine, key, 1)
        assert (store.calls["change_counter"] - flushes) * 100 < made
        assert store.calls["insert_page"] * 20 < store.total(key)

    @in_virtual_time
    async def test_what_is_left_is_given_back_soon(self) -> None:
        store, engine, key = await make_counter()
        made = await create_for(engine, key, 2)
        assert store.total(key) == made < store.counter(key).best_effort
        await asyncio.sleep(LASTS_S + LATENCY_S)
        assert store.counter(key).best_effort == made
        calls = store.calls.total()
        await asyncio.sleep(1)
        assert store.calls.total() == calls

    @in_virtual_time
    async def test_what_is_left_is_given_back_by_a_process_that_stops(self) -> None:
        store, engine, key = await make_counter()
        made = await create_for(engine, key, 2)
        assert store.counter(key).best_effort > made
        await engine.drain()
        assert store.counter(key).best_effort == store.total(key) == made

    @in_virtual_time
    async def test_two_processes_use_the_limit_up_and_no_more(self) -> None:
        store = WatchedStore(LATENCY_S)
        engines = [make_engine(store, seed=seed) for seed in (1, 2)]
        limit = 20_000
        key = await make_account(engines[0], limit=limit)
        made = await asyncio.gather(*(create_for(engine, key, 60) for engine in engines))
        assert store.calls["change_counter"] * 50 < limit
        assert sum(made) == store.total(key) == store.counter(key).best_effort == limit

    @in_virtual_time
    async def test_flushes_without_an_answer_reserve_no_more_ahead(self) -> None:
        store, engine, key = await make_counter()
        load = asyncio.create_task(create_for(engine, key, 2.1))
        await asyncio.sleep(2)
        store.fail("change_counter", *[Fault.ANSWER_LOST] * 10)
        made = await load
        await asyncio.sleep(1)
        ahead = 4 * CALLERS / (2 * LATENCY_S) * LASTS_S
        assert 0 < store.counter(key).best_effort - made < 10 * CALLERS + ahead

    @in_virtual_time
    async def test_a_lane_that_used_one_up_leaves_memory_without_the_garbage_collector(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store, lanes=LaneSettings(lease=LeaseSettings(lasts_s=0.5, size_min=1, part_of_room=1)))
        key = await make_account(engine, limit=1_000)
        await asyncio.gather(*creates(engine.entries, key, 50))
        await engine.entries.create(key, "takes a lease")
        await asyncio.gather(*creates(engine.entries, key, store.counter(key).best_effort - 51))
        assert store.calls["change_counter"] == 2
        lane = weakref.ref(engine._lanes.open(key))
        gc.collect()
        gc.disable()
        try:
            await asyncio.sleep(30)
            assert lane() is None
        finally:
            gc.enable()


class _LateAnswers(WatchedStore):
    """A store whose flushes take effect at once; from a moment on their answers are late."""

    late_s = 0.0

    async def change_counter(self, key: CounterKey, change: Change) -> Changed | Refused:
        outcome = await super().change_counter(key, change)
        await asyncio.sleep(self.late_s)
        return outcome


class TestLateAnswers:
    """A flush takes effect when it was sent. Its answer may come much later: a process can stand still in between."""

    @in_virtual_time
    async def test_a_lease_whose_answer_came_after_a_healing_is_not_used(self) -> None:
        store = _LateAnswers(LATENCY_S)
        paused, healing = (make_engine(store, clock=virtual_clock, seed=seed) for seed in (1, 2))
        key = await make_account(paused, limit=1_000_000)
        load = asyncio.create_task(create_for(paused, key, 2.2))
        await asyncio.sleep(2)
        store.late_s = 20
        with suppress(OverloadedError):
            await load
        await asyncio.sleep(10)
        before = (await healing.healer.heal(key)).before.best_effort
        assert before is not None
        assert before > store.total(key)
        # What arrives just before the answer does; the store asserts the one-sided rule at each write.
        await asyncio.sleep(2.2)
        store.late_s = 0
        await asyncio.gather(*creates(paused.entries, key, 50))
        await asyncio.sleep(1)
        assert store.counter(key).best_effort == store.total(key)

    @in_virtual_time
    async def test_while_answers_take_longer_than_a_lease_lasts_none_is_taken(self) -> None:
        store = _LateAnswers(LATENCY_S)
        engine = make_engine(store, clock=virtual_clock)
        key = await make_account(engine, limit=1_000_000)
        await create_for(engine, key, 2)
        store.late_s = 2 * LASTS_S
        load = asyncio.create_task(create_for(engine, key, 5))
        await asyncio.sleep(1)
        flushes = store.calls["change_counter"]
        await load
        assert store.calls["change_counter"] - flushes < 4 / store.late_s + 1
        assert store.counter(key).best_effort == store.total(key)


class TestWithoutNeed:
    """A lane in little use, or with little room."""

    @in_virtual_time
    async def test_a_burst_reserves_what_it_needs(self) -> None:
        store, engine, key = await make_counter()
        for _ in range(2):
            await asyncio.gather(*(engine.entries.create(key, "load") for _ in range(100)))
            assert store.counter(key).best_effort == store.total(key)

    @in_virtual_time
    async def test_a_create_long_after_a_burst_reserves_nothing_ahead(self) -> None:
        store, engine, key = await make_counter()
        await create_for(engine, key, 2)
        for pause_s in (4, 8, 9):
            await asyncio.sleep(pause_s)
            await engine.entries.create(key, "lone")
            assert store.counter(key).best_effort == store.total(key)

    @in_virtual_time
    async def test_with_little_room_nothing_is_reserved_ahead(self) -> None:
        store, engine, key = await make_counter(limit=1_000)
        await create_for(engine, key, 10)
        assert store.counter(key).best_effort == store.total(key) == 1_000


class TestLease:
    """How much, and until when."""

    @in_virtual_time
    async def test_it_suffices_for_a_while(self) -> None:
        lease = Lease(Queue(), LeaseSettings(lasts_s=0.1, size_min=10, part_of_room=4))
        unlimited = factories.counter(limit=None)
        assert lease.wanted(unlimited, 0) == 0
        lease.observe(1_000)
        assert lease.wanted(unlimited, 0) == 100
        await asyncio.sleep(1)
        assert 30 < lease.wanted(unlimited, 0) < 40
        lease.restrain()
        assert lease.wanted(unlimited, 0) == 0

    @in_virtual_time
    @pytest.mark.parametrize(("limit", "wanted"), [(1_000, 100), (500, 100), (340, 60), (140, 10), (139, 0), (50, 0)])
    async def test_it_is_small_beside_the_room(self, limit: int, wanted: int) -> None:
        lease = Lease(Queue(), LeaseSettings(lasts_s=0.1, size_min=10, part_of_room=4))
        lease.observe(1_000)
        assert lease.wanted(factories.counter(limit=limit), 100) == wanted

    @in_virtual_time
    async def test_what_is_used_is_used_once(self) -> None:
        queue = Queue()
        lease = Lease(queue, LeaseSettings())
        counter = factories.counter()
        lease.grant(counter, 10, asyncio.get_running_loop().time())
        assert lease.draw(11) is None
        assert lease.draw(6) is counter
        assert lease.draw(5) is None
        lease.give_back()
        assert [one.delta for one in queue.take_adjustments()] == [-4]
        assert lease.draw(1) is None
        lease.give_back()
        await asyncio.sleep(1)
        assert queue.take_adjustments() == []

    @in_virtual_time
    async def test_what_was_sent_long_ago_is_not_used_but_given_back(self) -> None:
        queue = Queue()
        lease = Lease(queue, LeaseSettings(lasts_s=0.1))
        counter = factories.counter()
        sent_at = asyncio.get_running_loop().time()
        await asyncio.sleep(0.06)
        lease.grant(counter, 10, sent_at)
        await asyncio.sleep(0.03)
        assert queue.adjustments == []
        await asyncio.sleep(0.02)
        assert lease.draw(1) is None
        assert [(one.delta, one.epoch) for one in queue.take_adjustments()] == [(-10, counter.epoch)]
