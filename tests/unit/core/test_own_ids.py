"""A caller's own id may be used again, and by two creates at once: neither takes the other's entry for its own."""

import asyncio

import pytest

from counters.engine import Engine
from counters.errors import EntryNotFoundError, LimitReachedError, OverloadedError
from counters.keys import CounterKey
from counters.lanes.settings import LaneSettings
from counters.model import Created, Enforcement
from tests.support.callers import LATENCY_S
from tests.support.engines import ENFORCEMENTS, make_account, make_engine
from tests.support.late import LATE_S, delay_next, let_act_before_next
from tests.support.stores import Fault, WatchedStore
from tests.support.virtual_time import in_virtual_time


class TestInsertInDoubt:
    """An insert without an answer is sent again, and its nonce tells whose entry has the id."""

    @in_virtual_time
    async def test_an_equal_create_of_the_same_moment_is_not_taken_for_ones_own(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, other = make_engine(store), make_engine(store, seed=1)
        key = await make_account(engine, limit=5)
        delay_next(store, "insert_page", 2.0)
        in_doubt, done = await asyncio.gather(
            engine.entries.create(key, "same", "order-17"),
            other.entries.create(key, "same", "order-17"),
            return_exceptions=True,
        )
        assert isinstance(in_doubt, Created)
        assert isinstance(done, Created)
        assert (in_doubt.replayed, done.replayed) == (True, False)
        await other.entries.delete(key, "order-17")
        await asyncio.sleep(LATE_S)
        # The late try found the emptied page. Nobody knew that it would, so its reservation stayed.
        assert (store.counter(key).best_effort, store.total(key)) == (1, 0)

    @in_virtual_time
    async def test_a_late_try_brings_nothing_back_that_was_deleted(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine, limit=5)
        delay_next(store, "insert_page")
        created = await engine.entries.create(key, "first", "order-17")
        assert not created.replayed
        await engine.entries.delete(key, "order-17")
        await asyncio.sleep(LATE_S)
        assert store.total(key) == 0
        again = await engine.entries.create(key, "second", "order-17")
        assert (again.replayed, again.entry.name) == (False, "second")
        assert store.counter(key).best_effort == store.total(key) == 1

    @in_virtual_time
    async def test_a_create_in_doubt_does_not_replace_what_others_emptied_meanwhile(self) -> None:
        """Its own entry may have been stored, deleted, and its id used again: a second one would not be counted."""
        store = WatchedStore(LATENCY_S)
        engine, other = make_engine(store), make_engine(store, seed=1)
        key = await make_account(engine, limit=5)

        async def use_and_delete() -> None:
            await other.entries.delete(key, "mine")
            await other.entries.create(key, "theirs", "mine")
            await other.entries.delete(key, "mine")

        store.fail("insert_page", Fault.ANSWER_LOST)
        create = asyncio.ensure_future(engine.entries.create(key, "ours", "mine"))
        await asyncio.sleep(LATENCY_S * 2.7)
        let_act_before_next(store, "insert_page", use_and_delete)
        with pytest.raises(OverloadedError):
            await create
        assert (store.counter(key).best_effort, store.total(key)) == (0, 0)

    @in_virtual_time
    async def test_an_entry_that_was_renamed_meanwhile_is_still_ones_own(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, other = make_engine(store), make_engine(store, seed=1)
        key = await make_account(engine)
        store.fail("insert_page", Fault.ANSWER_LOST)
        store.fail("read_entry", Fault.THROTTLED)
        create = asyncio.create_task(engine.entries.create(key, "first", "mine"))
        await asyncio.sleep(LATENCY_S * 2.2)
        await other.entries.rename(key, "mine", "second")
        assert not (await create).replayed
        assert store.counter(key).best_effort == store.total(key) == 1


class TestOneIdManyCallers:
    """Creates of one id at once are one operation with many listeners."""

    @in_virtual_time
    async def test_a_hundred_callers_make_one_entry_and_take_one_place_in_each_process(self) -> None:
        store = WatchedStore(LATENCY_S)
        engines = [make_engine(store, seed=seed) for seed in range(4)]
        key = await make_account(engines[0], limit=5)
        callers = [engines[n % 4].entries.create(key, "mine", "order-17") for n in range(100)]
        *made, other = await asyncio.gather(*callers, engines[0].entries.create(key, "other"))
        assert sorted(one.replayed for one in made) == [False] + [True] * 99
        assert not other.replayed
        assert store.calls["insert_page"] == 5
        await asyncio.sleep(1)
        assert store.counter(key).best_effort == store.total(key) == 2

    @in_virtual_time
    async def test_who_comes_after_the_entry_was_deleted_gets_one_of_his_own(self) -> None:
        """The first create is in doubt all the while, and finds out that its entry was stored, and deleted."""
        store = WatchedStore(LATENCY_S)
        engine, other = make_engine(store), make_engine(store, seed=1)
        key = await make_account(engine, limit=5)
        store.fail("insert_page", Fault.ANSWER_LOST, *[Fault.THROTTLED] * 5)
        first = asyncio.ensure_future(engine.entries.create(key, "first", "order-17"))
        await asyncio.sleep(3 * LATENCY_S)
        await other.entries.delete(key, "order-17")
        second = await engine.entries.create(key, "second", "order-17")
        assert not (await first).replayed
        assert (second.replayed, second.entry.name) == (False, "second")
        assert await engine.entries.get(key, "order-17") == second.entry

    @in_virtual_time
    async def test_a_caller_who_leaves_takes_nobody_with_him(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine)
        first, *others = [asyncio.ensure_future(engine.entries.create(key, "mine", "order-17")) for _ in range(10)]
        await asyncio.sleep(0.5 * LATENCY_S)
        first.cancel()
        made = await asyncio.gather(*others)
        assert sorted(one.replayed for one in made) == [False] + [True] * 8
        assert store.total(key) == 1

    @in_virtual_time
    async def test_all_are_refused_by_a_full_counter_with_one_read_for_their_id(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine, limit=1)
        await engine.entries.create(key, "only")
        store.calls.clear()
        callers = [engine.entries.create(key, "mine", "order-17") for _ in range(50)]
        outcomes = await asyncio.gather(*callers, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {LimitReachedError}
        assert store.calls.total() <= 6
        await engine.drain()

    @in_virtual_time
    async def test_a_process_that_stops_answers_them_first(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine)
        callers = [asyncio.ensure_future(engine.entries.create(key, "mine", "order-17")) for _ in range(10)]
        await asyncio.sleep(0.5 * LATENCY_S)
        await engine.drain()
        assert all(caller.done() for caller in callers)
        assert sum(not caller.result().replayed for caller in callers) == 1

    @in_virtual_time
    async def test_nobody_waits_for_a_create_that_a_full_queue_turned_away(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store, lanes=LaneSettings(queue_max=1))
        key = await make_account(engine, limit=5)
        _, turned_away = await asyncio.gather(
            engine.entries.create(key, "first"),
            engine.entries.create(key, "order", "order-17"),
            return_exceptions=True,
        )
        assert isinstance(turned_away, OverloadedError)
        started_at = asyncio.get_running_loop().time()
        created = await engine.entries.create(key, "order", "order-17")
        assert not created.replayed
        assert asyncio.get_running_loop().time() - started_at < 1
        # Its error is still known to somebody, and so are the frames that it came through.
        assert turned_away.__traceback__ is not None


class TestDeleteOfAnIdThatIsUsedAgain:
    """A delete is of the entry that it found."""

    @pytest.mark.parametrize("enforcement", ENFORCEMENTS)
    def test_a_late_first_try_leaves_a_newer_entry_of_the_same_id_alone(self, enforcement: Enforcement) -> None:
        @in_virtual_time
        async def history() -> None:
            store = WatchedStore(LATENCY_S)
            engine = make_engine(store)
            key = await make_account(engine, limit=5, enforcement=enforcement)
            first = (await engine.entries.create(key, "first", "order-17")).entry
            delay_next(store, "delete_entries")
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
        let_act_before_next(store, "delete_entries", lambda: replace(other, key))
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
        let_act_before_next(store, "delete_entries", lambda: replace(other, key))
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
