"""Healing a strict counter that is never quiet: a cut, a wait, and a recount of what was there before the cut.

See ``docs/design/engine.md``, section 7. ``WatchedStore`` asserts the one-sided rule after every write.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from counters.engine import Engine
from counters.errors import CounterBusyError, LimitReachedError, OutcomeUnknownError
from counters.keys import CounterKey
from counters.model import Enforcement
from tests.support.engines import make_account
from tests.support.healing import LATENCY_S, QUIET_S, Stream, corrupt, fill, make_engine, over_count, stick_releases
from tests.support.stores import Fault, WatchedStore
from tests.support.virtual_time import in_virtual_time


@asynccontextmanager
async def in_use(engine: Engine, key: CounterKey) -> AsyncIterator[None]:
    """Create an entry and delete it once a second."""

    async def use() -> None:
        while True:
            created = await engine.entries.create(key, "passing")
            await asyncio.sleep(0.5)
            await engine.entries.delete(key, created.entry.id)
            await asyncio.sleep(0.5)

    user = asyncio.create_task(use())
    await asyncio.sleep(0.75)
    yield
    user.cancel()
    with pytest.raises(asyncio.CancelledError):
        await user


async def cut(engine: Engine, key: CounterKey) -> None:
    """Make the first step of healing a counter in use."""
    with pytest.raises(CounterBusyError) as busy:
        await engine.healer.heal(key)
    assert busy.value.retry_after_s == QUIET_S


@in_virtual_time
async def test_a_leak_on_a_counter_that_is_never_quiet_heals() -> None:
    store = WatchedStore(LATENCY_S)
    engine = make_engine(store)
    key = await make_account(engine)
    await over_count(store, engine, key)
    async with in_use(engine, key):
        await cut(engine, key)
        await asyncio.sleep(QUIET_S)
        diagnosis = await engine.healer.heal(key)
        assert (diagnosis.healed, diagnosis.total) == (True, store.total(key))
        assert store.counter(key).best_effort == store.total(key)
        assert store.counter(key).cut is None


@in_virtual_time
async def test_a_step_that_comes_too_soon_is_told_how_long_to_wait_and_writes_nothing() -> None:
    store = WatchedStore()
    engine = make_engine(store)
    key = await make_account(engine)
    await fill(engine, key, 2)
    await cut(engine, key)
    before = store.counter(key)
    await asyncio.sleep(QUIET_S - 4)
    await fill(engine, key, 1)
    for _ in range(2):
        with pytest.raises(CounterBusyError) as busy:
            await engine.healer.heal(key)
        assert busy.value.retry_after_s == 4
    assert store.counter(key).cut == before.cut
    assert not store.calls["list_entries"]


@in_virtual_time
async def test_another_process_joins_a_cut_and_waits_from_when_it_was_seen() -> None:
    store = WatchedStore(LATENCY_S)
    engine, other = make_engine(store), make_engine(store, seed=1)
    key = await make_account(engine)
    await over_count(store, engine, key)
    async with in_use(engine, key):
        # Its answer is lost, so nobody knows when it was made.
        store.fail("cut_counter", Fault.ANSWER_LOST)
        with pytest.raises(OutcomeUnknownError):
            await engine.healer.heal(key)
        await asyncio.sleep(2 * QUIET_S)
        await cut(other, key)
        assert store.calls["cut_counter"] == 1
        await asyncio.sleep(QUIET_S)
        assert (await engine.healer.heal(key)).healed
        assert store.counter(key).best_effort == store.total(key)


@in_virtual_time
async def test_what_comes_after_the_cut_is_left_as_it_stands() -> None:
    store = WatchedStore(LATENCY_S)
    engine = make_engine(store)
    key = await make_account(engine)
    await over_count(store, engine, key)
    await cut(engine, key)
    await asyncio.sleep(QUIET_S - 1)
    # After the cut, and so not in this recount.
    await over_count_again(store, engine, key)
    await asyncio.sleep(1)
    await engine.healer.heal(key)
    assert store.counter(key).best_effort == store.total(key) + 1
    async with in_use(engine, key):
        await cut(engine, key)
        await asyncio.sleep(QUIET_S)
        await engine.healer.heal(key)
        assert store.counter(key).best_effort == store.total(key)


async def over_count_again(store: WatchedStore, engine: Engine, key: CounterKey) -> None:
    """Create one more entry whose reservation is made twice."""
    store.fail("change_counter", Fault.ANSWER_LOST)
    await engine.entries.create(key, "counted twice, too")


@in_virtual_time
async def test_entries_of_before_the_cut_that_were_deleted_since_are_not_taken_away_twice() -> None:
    store = WatchedStore(LATENCY_S)
    engine = make_engine(store)
    key = await make_account(engine)
    old = await fill(engine, key, 5)
    await cut(engine, key)
    await asyncio.sleep(QUIET_S / 2)
    await asyncio.gather(*(engine.entries.delete(key, one.entry.id) for one in old[:3]))
    await fill(engine, key, 2)
    await asyncio.sleep(QUIET_S / 2)
    await engine.healer.heal(key)
    assert store.counter(key).best_effort == store.total(key) == 4


@in_virtual_time
async def test_a_release_that_waits_while_its_entry_is_recounted_is_dropped() -> None:
    store = WatchedStore(LATENCY_S)
    engine, other = make_engine(store), make_engine(store, seed=1)
    key = await make_account(engine)
    old = await fill(engine, key, 3)
    await cut(other, key)
    await asyncio.sleep(QUIET_S - 2)
    new = await fill(engine, key, 2)
    await asyncio.sleep(2)
    stick_releases(store)
    deletes = [asyncio.create_task(engine.entries.delete(key, one.entry.id)) for one in (old[0], new[0])]
    await asyncio.sleep(0.5)
    await other.healer.heal(key)
    # The old one is gone from the count by the recount, and the new one is still to be taken away.
    assert store.counter(key).best_effort == 4
    store.faults.clear()
    await asyncio.gather(*deletes)
    assert store.counter(key).best_effort == store.total(key) == 3


@in_virtual_time
async def test_a_counter_that_a_hand_set_too_low_is_raised() -> None:
    store = WatchedStore(LATENCY_S)
    engine = make_engine(store)
    key = await make_account(engine)
    await fill(engine, key, 5)
    corrupt(store, key, best_effort=5, eventual=5)
    await cut(engine, key)
    counter = store.counter(key)
    assert counter.cut is not None
    lowered = msgspec.structs.replace(counter.cut, amount=3)
    store._counters[key] = msgspec.structs.replace(counter, best_effort=3, cut=lowered)
    await asyncio.sleep(QUIET_S - 1)
    store._counters[key] = msgspec.structs.replace(
        store.counter(key), touched_at_ms=store.counter(key).touched_at_ms + 5000
    )
    await asyncio.sleep(1)
    await engine.healer.heal(key)
    assert store.counter(key).best_effort == 5


@in_virtual_time
async def test_a_counter_that_becomes_hybrid_loses_its_cut_when_it_is_strict_again() -> None:
    store = WatchedStore(LATENCY_S)
    engine = make_engine(store)
    key = await make_account(engine)
    await fill(engine, key, 2)
    await cut(engine, key)
    await engine.accounts.update(key.account_id, enforcement=Enforcement.HYBRID)
    await fill(engine, key, 2)
    with pytest.raises(CounterBusyError):
        await engine.healer.heal(key)
    await engine.accounts.update(key.account_id, enforcement=Enforcement.STRICT)
    await asyncio.sleep(3 * QUIET_S)
    await engine.healer.heal(key)
    counter = store.counter(key)
    assert (counter.enforcement, counter.best_effort, counter.cut) == (Enforcement.STRICT, 4, None)


@in_virtual_time
async def test_a_full_counter_in_use_heals_by_its_own_refusals() -> None:
    store = WatchedStore(LATENCY_S)
    engine = make_engine(store)
    key = await make_account(engine, limit=2)
    await over_count(store, engine, key)
    refusals = 0
    for _ in range(60):
        await asyncio.sleep(1)
        await Stream(store, key).settle()
        try:
            created = await engine.entries.create(key, "has room")
        except LimitReachedError:
            refusals += 1
            # Somebody uses the counter all the time.
            await engine.entries.rename(key, next(iter(store._ledgers[key, 0])), "still here")
            store._counters[key] = msgspec.structs.replace(
                store.counter(key), touched_at_ms=store.counter(key).touched_at_ms + 1000
            )
        else:
            await engine.entries.delete(key, created.entry.id)
    assert 10 <= refusals <= 40
    assert store.counter(key).best_effort == store.total(key) == 1
    # Of 40 refused callers, hardly any cost a write.
    assert (store.calls["cut_counter"], store.calls["note_cut_seen"], store.calls["heal_cut"]) == (1, 1, 1)


@in_virtual_time
async def test_equal_errors_of_both_counts_are_found_within_a_day() -> None:
    store = WatchedStore(LATENCY_S)
    engine = make_engine(store)
    key = await make_account(engine)
    await fill(engine, key, 2)
    await Stream(store, key).settle()
    await asyncio.sleep(QUIET_S)
    assert (await engine.sweeper.sweep()).healed == 1
    corrupt(store, key, best_effort=4, eventual=4)
    store._counters[key] = msgspec.structs.replace(store.counter(key), revision=store.counter(key).revision + 1)
    assert (await engine.sweeper.sweep()).healed == 0
    for _ in range(2):
        await asyncio.sleep(43_200)
    assert (await engine.sweeper.sweep()).healed == 1
    assert store.counter(key).best_effort == 2
