"""Hybrid enforcement: write, then count; release, then delete (``docs/design/engine.md``, section 5)."""

import asyncio

import pytest

from counters.engine import Engine
from counters.errors import EntryNotFoundError, LimitReachedError
from counters.keys import CounterKey
from counters.model import Created, Enforcement
from counters.settlement import settle_batch
from tests.support import factories
from tests.support.engines import make_account, make_engine
from tests.support.stores import Fault, WatchedStore
from tests.support.virtual_time import in_virtual_time

LATENCY_S = 0.004


async def make_hybrid(engine: Engine, limit: int = 10) -> CounterKey:
    return await make_account(engine, limit=limit, enforcement=Enforcement.HYBRID)


async def create_many(engine: Engine, key: CounterKey, number: int) -> tuple[list[Created], list[BaseException]]:
    calls = (engine.entries.create(key, f"service {n}") for n in range(number))
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    created = [outcome for outcome in outcomes if isinstance(outcome, Created)]
    return created, [outcome for outcome in outcomes if isinstance(outcome, BaseException)]


@in_virtual_time
async def test_one_process_does_not_overshoot_and_counts_what_it_wrote() -> None:
    store = WatchedStore(LATENCY_S)
    engine = make_engine(store)
    key = await make_hybrid(engine)
    created, failed = await create_many(engine, key, 25)
    await engine.drain()
    assert len(created) == store.total(key) == store.counter(key).best_effort == 10
    assert {type(error) for error in failed} == {LimitReachedError}


@in_virtual_time
async def test_a_create_is_answered_before_the_counter_is_written() -> None:
    store = WatchedStore(LATENCY_S)
    engine = make_engine(store)
    key = await make_hybrid(engine)
    await engine.entries.create(key, "service")
    assert store.calls["change_counter"] == 0 or store.counter(key).best_effort == 0
    await engine.drain()
    assert store.counter(key).best_effort == 1


@in_virtual_time
async def test_a_throttled_counter_holds_up_no_create() -> None:
    store = WatchedStore(LATENCY_S)
    engine = make_engine(store)
    key = await make_hybrid(engine, limit=100)
    await engine.entries.create(key, "warm")
    store.fail("change_counter", *[Fault.THROTTLED] * 1000)
    store.fail("read_counter", *[Fault.THROTTLED] * 1000)
    await asyncio.sleep(1)
    created, failed = await create_many(engine, key, 20)
    assert len(created) == 20
    assert not failed
    store.faults.clear()
    await engine.drain()
    assert store.counter(key).best_effort == store.total(key) == 21


@pytest.mark.parametrize(
    ("fault", "best_effort"), [(Fault.THROTTLED, 1), (Fault.REQUEST_LOST, 0), (Fault.ANSWER_LOST, 1)]
)
def test_an_addition_is_made_once_at_most(fault: Fault, best_effort: int) -> None:
    @in_virtual_time
    async def history() -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_hybrid(engine)
        store.fail("change_counter", fault)
        await engine.entries.create(key, "service")
        await engine.drain()
        assert store.counter(key).best_effort == best_effort

    history()


@in_virtual_time
async def test_the_exact_counter_makes_up_for_what_best_effort_missed() -> None:
    store = WatchedStore(LATENCY_S)
    engine = make_engine(store)
    key = await make_hybrid(engine, limit=2)
    store.fail("change_counter", Fault.REQUEST_LOST, Fault.REQUEST_LOST)
    await engine.entries.create(key, "first")
    await asyncio.sleep(1)
    await engine.entries.create(key, "second")
    await asyncio.sleep(1)
    assert store.counter(key).best_effort == 0
    await settle_batch(store, "shard", [factories.page_change(key, n, 1) for n in (1, 2)], factories.NOW_MS)
    with pytest.raises(LimitReachedError) as refusal:
        await engine.entries.create(key, "third")
    assert refusal.value.value == 2


@in_virtual_time
async def test_an_old_look_admits_nobody() -> None:
    store = WatchedStore(LATENCY_S)
    here, elsewhere = make_engine(store), make_engine(store, seed=1)
    key = await make_hybrid(here, limit=2)
    await here.entries.create(key, "first")
    await asyncio.sleep(1)
    await elsewhere.entries.create(key, "second")
    await asyncio.sleep(1)
    with pytest.raises(LimitReachedError):
        await here.entries.create(key, "third")


@in_virtual_time
async def test_delete_makes_room_before_it_is_answered() -> None:
    store = WatchedStore(LATENCY_S)
    engine = make_engine(store)
    key = await make_hybrid(engine, limit=1)
    only = await engine.entries.create(key, "only")
    await asyncio.sleep(1)
    await engine.entries.delete(key, only.entry.id)
    await engine.entries.create(key, "next")
    await engine.drain()
    assert store.counter(key).best_effort == store.total(key) == 1


@in_virtual_time
async def test_the_loser_of_two_deletes_takes_its_release_back() -> None:
    store = WatchedStore(LATENCY_S)
    engine, other = make_engine(store), make_engine(store, seed=1)
    key = await make_hybrid(engine)
    created, _ = await create_many(engine, key, 3)
    await asyncio.sleep(1)
    twice = [process.entries.delete(key, created[0].entry.id) for process in (engine, other)]
    outcomes = await asyncio.gather(*twice, return_exceptions=True)
    await asyncio.gather(engine.drain(), other.drain())
    assert {type(outcome) for outcome in outcomes} == {EntryNotFoundError, type(None)}
    assert store.counter(key).best_effort == store.total(key) == 2


@in_virtual_time
async def test_an_unknown_entry_changes_nothing() -> None:
    store = WatchedStore(LATENCY_S)
    engine = make_engine(store)
    key = await make_hybrid(engine)
    with pytest.raises(EntryNotFoundError):
        await engine.entries.delete(key, "nobody")
    assert store.calls["change_counter"] == 0


@in_virtual_time
async def test_delete_all_and_account_delete_leave_nothing() -> None:
    store = WatchedStore()
    engine = make_engine(store, slots=3)
    key = await make_hybrid(engine, limit=1000)
    await create_many(engine, key, 250)
    await engine.entries.delete_all(key)
    await asyncio.sleep(1)
    assert store.total(key) == store.counter(key).best_effort == 0
    await create_many(engine, key, 5)
    await engine.accounts.delete(key.account_id)
    assert store.total(key) == 0


@in_virtual_time
async def test_a_replay_counts_once() -> None:
    store = WatchedStore(LATENCY_S)
    engine = make_engine(store)
    key = await make_hybrid(engine, limit=1)
    first = await engine.entries.create(key, "first", "mine")
    await asyncio.sleep(1)
    assert await engine.entries.create(key, "again", "mine") == Created(first.entry, replayed=True)
    await engine.drain()
    assert store.counter(key).best_effort == store.total(key) == 1


@in_virtual_time
async def test_an_old_look_lets_in_but_never_refuses() -> None:
    store = WatchedStore(LATENCY_S)
    here, elsewhere = make_engine(store), make_engine(store, seed=1)
    key = await make_hybrid(here, limit=1)
    only = await here.entries.create(key, "only")
    await asyncio.sleep(1)
    await elsewhere.entries.delete(key, only.entry.id)
    store.fail("read_counter", *[Fault.THROTTLED] * 3)
    await here.entries.create(key, "room again")
    await here.drain()
    assert store.total(key) == 1


@in_virtual_time
async def test_taking_a_release_back_leaves_nothing_in_flight() -> None:
    store = WatchedStore(LATENCY_S)
    engine, other = make_engine(store), make_engine(store, seed=1)
    key = await make_hybrid(engine, limit=2)
    created, _ = await create_many(engine, key, 2)
    await asyncio.sleep(1)
    twice = [process.entries.delete(key, created[0].entry.id) for process in (engine, other)]
    await asyncio.gather(*twice, return_exceptions=True)
    for process in (engine, other):
        await create_many(process, key, 5)
        await asyncio.sleep(1)
    assert store.total(key) == 2
