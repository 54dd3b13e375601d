"""Delete decides, then release: entries, whole ledgers and accounts."""

import asyncio

import pytest

from counters.engine import Engine
from counters.errors import AccountNotFoundError, EntryNotFoundError, OverloadedError
from counters.keys import CounterKey
from tests import factories
from tests.callers import LATENCY_S, creates, outcomes_of
from tests.engines import make_account, make_engine
from tests.stores import Fault, WatchedStore
from tests.virtual_time import in_virtual_time


class TestDelete:
    """Delete decides, then release."""

    @in_virtual_time
    async def test_of_two_deleters_one_wins_and_one_release_is_made(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, other = make_engine(store), make_engine(store, seed=1)
        key = await make_account(engine)
        created, _ = await outcomes_of(creates(engine.entries, key, 3))
        twice = [process.entries.delete(key, created[0].entry.id) for process in (engine, other)]
        outcomes = await asyncio.gather(*twice, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {EntryNotFoundError, type(None)}
        assert store.counter(key).best_effort == store.total(key) == 2

    @in_virtual_time
    async def test_unknown_entry_and_unknown_account_are_told_apart(self) -> None:
        engine = make_engine(WatchedStore(LATENCY_S))
        key = await make_account(engine)
        with pytest.raises(EntryNotFoundError):
            await engine.entries.delete(key, "nobody")
        with pytest.raises(AccountNotFoundError):
            await engine.entries.delete(factories.counter_key(), "nobody")

    @in_virtual_time
    async def test_delete_all_leaves_nothing_and_releases_everything(self) -> None:
        store = WatchedStore()
        engine = make_engine(store, slots=3)
        key = await make_account(engine, limit=1000)
        await outcomes_of(creates(engine.entries, key, 350))
        await engine.entries.delete_all(key)
        assert store.counter(key).best_effort == store.total(key) == 0

    @in_virtual_time
    async def test_delete_all_releases_what_went_even_when_a_part_fails(self) -> None:
        store = WatchedStore()
        engine = make_engine(store)
        key = await make_account(engine, limit=1000)
        await outcomes_of(creates(engine.entries, key, 20))
        store.fail("delete_entry", *[Fault.THROTTLED] * 20_000)
        with pytest.raises(OverloadedError):
            await engine.entries.delete_all(key)
        store.faults.clear()
        assert store.counter(key).best_effort == store.total(key)
        await engine.entries.delete_all(key)
        assert store.counter(key).best_effort == store.total(key) == 0


async def flood(engine: Engine, key: CounterKey) -> None:
    await outcomes_of(creates(engine.entries, key, 200))


class TestAccountDelete:
    """Deleting an account under load leaves nothing behind."""

    @in_virtual_time
    async def test_creates_under_way_elsewhere_leave_no_entry_behind(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, other = make_engine(store), make_engine(store, seed=1)
        key = await make_account(engine, limit=10_000)
        load = asyncio.create_task(flood(other, key))
        await asyncio.sleep(LATENCY_S * 1.5)
        await engine.accounts.delete(key.account_id)
        await load
        await other.drain()
        assert store.total(key) == 0
        with pytest.raises(AccountNotFoundError):
            await engine.accounts.get(key.account_id)
