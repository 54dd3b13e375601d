"""A caller's own id may be used again, and by two creates at once: neither takes the other's entry for its own."""

import asyncio

import pytest

from counters.engine import Engine
from counters.errors import EntryNotFoundError, OverloadedError
from counters.keys import CounterKey
from counters.model import Created, Enforcement
from tests.support.callers import LATENCY_S
from tests.support.engines import ENFORCEMENTS, make_account, make_engine
from tests.support.late import LATE_S, delay_next, let_act_before_next
from tests.support.stores import Fault, WatchedStore
from tests.support.virtual_time import in_virtual_time


class TestInsertInDoubt:
    """An insert without an answer is looked for by its nonce."""

    @in_virtual_time
    async def test_an_equal_create_of_the_same_moment_is_not_taken_for_ones_own(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, other = make_engine(store), make_engine(store, seed=1)
        key = await make_account(engine, limit=5)
        delay_next(store, "insert_entry", 2.0)
        in_doubt, done = await asyncio.gather(
            engine.entries.create(key, "same", "order-17"),
            other.entries.create(key, "same", "order-17"),
            return_exceptions=True,
        )
        assert isinstance(in_doubt, OverloadedError)
        assert isinstance(done, Created)
        await other.entries.delete(key, "order-17")
        await asyncio.sleep(LATE_S)
        assert store.counter(key).best_effort == store.total(key) == 1

    @in_virtual_time
    async def test_an_entry_that_was_renamed_meanwhile_is_still_ones_own(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, other = make_engine(store), make_engine(store, seed=1)
        key = await make_account(engine)
        store.fail("insert_entry", Fault.ANSWER_LOST)
        store.fail("read_entry", Fault.THROTTLED)
        create = asyncio.create_task(engine.entries.create(key, "first", "mine"))
        await asyncio.sleep(LATENCY_S * 2.2)
        await other.entries.rename(key, "mine", "second")
        assert not (await create).replayed
        assert store.counter(key).best_effort == store.total(key) == 1


class TestDeleteOfAnIdThatIsUsedAgain:
    """A delete is of the entry that it found."""

    @pytest.mark.parametrize("enforcement", ENFORCEMENTS)
    @pytest.mark.parametrize("first_id", ["order-17", None])
    def test_a_late_first_try_leaves_a_newer_entry_of_the_same_id_alone(
        self, enforcement: Enforcement, first_id: str | None
    ) -> None:
        @in_virtual_time
        async def history() -> None:
            store = WatchedStore(LATENCY_S)
            engine = make_engine(store)
            key = await make_account(engine, limit=5, enforcement=enforcement)
            first = (await engine.entries.create(key, "first", first_id)).entry
            delay_next(store, "delete_entry")
            await engine.entries.delete(key, first.id)
            again = await engine.entries.create(key, "second", first.id)
            await asyncio.sleep(LATE_S)
            assert await engine.entries.get(key, first.id) == again.entry
            assert store.total(key) == 1

        history()

    @in_virtual_time
    async def test_a_delete_whose_entry_is_replaced_meanwhile_finds_none_and_releases_nothing(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, other = make_engine(store), make_engine(store, seed=1)
        key = await make_account(engine, limit=5)
        await engine.entries.create(key, "first", "mine")
        let_act_before_next(store, "delete_entry", lambda: replace(other, key))
        with pytest.raises(EntryNotFoundError):
            await engine.entries.delete(key, "mine")
        assert (await engine.entries.get(key, "mine")).name == "second"
        assert store.counter(key).best_effort == store.total(key) == 1

    @in_virtual_time
    async def test_a_delete_of_all_leaves_an_entry_alone_that_came_after_it_was_read(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, other = make_engine(store), make_engine(store, seed=1)
        key = await make_account(engine, limit=5)
        await engine.entries.create(key, "first", "mine")
        let_act_before_next(store, "delete_entry", lambda: replace(other, key))
        assert (await engine.entries.delete_all(key)).deleted == 0
        assert (await engine.entries.get(key, "mine")).name == "second"
        assert store.counter(key).best_effort == store.total(key) == 1

    @in_virtual_time
    async def test_a_rename_that_is_late_leaves_a_newer_entry_of_the_same_id_alone(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine, limit=5)
        await engine.entries.create(key, "first", "mine")
        delay_next(store, "rename_entry")
        await engine.entries.rename(key, "mine", "renamed")
        await replace(engine, key)
        await asyncio.sleep(LATE_S)
        assert (await engine.entries.get(key, "mine")).name == "second"


async def replace(engine: Engine, key: CounterKey) -> None:
    """Delete an entry and make another one under its id."""
    await engine.entries.delete(key, "mine")
    await engine.entries.create(key, "second", "mine")
