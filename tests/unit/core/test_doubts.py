"""What is done when a call's outcome is unknown or late: the one-sided rule, own ids and deadlines."""

import asyncio

import pytest

from counters.errors import LimitReachedError, OverloadedError
from counters.lanes.settings import LaneSettings
from counters.model import Created
from tests.support.callers import LATENCY_S, creates, outcomes_of
from tests.support.engines import DEADLINE_S, make_account, make_engine
from tests.support.stores import Fault, WatchedStore
from tests.support.virtual_time import in_virtual_time


class TestOwnIds:
    """A caller's own id makes a create idempotent."""

    @in_virtual_time
    async def test_replay_returns_the_stored_entry_and_gives_its_reservation_back(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine)
        first = await engine.entries.create(key, "first", "mine")
        again = await engine.entries.create(key, "again", "mine")
        await engine.drain()
        assert not first.replayed
        assert again == Created(first.entry, replayed=True)
        assert store.counter(key).best_effort == store.total(key) == 1

    @in_virtual_time
    async def test_replay_at_the_limit_finds_the_stored_entry(self) -> None:
        engine = make_engine(WatchedStore(LATENCY_S))
        key = await make_account(engine, limit=1)
        first = await engine.entries.create(key, "first", "mine")
        assert await engine.entries.create(key, "first", "mine") == Created(first.entry, replayed=True)
        with pytest.raises(LimitReachedError):
            await engine.entries.create(key, "other", "other")

    @in_virtual_time
    async def test_concurrent_creates_under_one_id_make_one_entry(self) -> None:
        store = WatchedStore(LATENCY_S)
        engines = [make_engine(store, seed=seed) for seed in range(3)]
        key = await make_account(engines[0])
        created, failed = await outcomes_of([engine.entries.create(key, "same", "mine") for engine in engines])
        await asyncio.gather(*(engine.drain() for engine in engines))
        assert not failed
        assert sum(not one.replayed for one in created) == 1
        assert store.counter(key).best_effort == store.total(key) == 1

    @in_virtual_time
    async def test_an_insert_whose_answer_was_lost_is_not_taken_for_a_replay(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine)
        store.fail("insert_page", Fault.ANSWER_LOST)
        created = await engine.entries.create(key, "first", "mine")
        await engine.drain()
        assert not created.replayed
        assert store.counter(key).best_effort == store.total(key) == 1

    @in_virtual_time
    async def test_an_insert_in_doubt_that_meets_somebody_elses_entry_keeps_its_reservation(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine)
        await engine.entries.create(key, "theirs", "mine")
        store.fail("insert_page", Fault.ANSWER_LOST)
        assert (await engine.entries.create(key, "ours", "mine")).replayed
        await engine.drain()
        assert store.total(key) == 1
        assert store.counter(key).best_effort == 2


class TestOneSidedRule:
    """Every doubt is resolved upward (``docs/design/engine.md``, section 4); ``WatchedStore`` asserts it."""

    @in_virtual_time
    async def test_a_throttled_reserve_is_repeated_and_counts_once(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine)
        store.fail("change_counter", Fault.THROTTLED, Fault.THROTTLED)
        await engine.entries.create(key, "service")
        assert store.counter(key).best_effort == store.total(key) == 1

    @pytest.mark.parametrize(("fault", "best_effort"), [(Fault.REQUEST_LOST, 1), (Fault.ANSWER_LOST, 2)])
    def test_a_reserve_of_unknown_outcome_is_repeated(self, fault: Fault, best_effort: int) -> None:
        @in_virtual_time
        async def history() -> None:
            store = WatchedStore(LATENCY_S)
            engine = make_engine(store)
            key = await make_account(engine)
            store.fail("change_counter", fault)
            await engine.entries.create(key, "service")
            assert store.counter(key).best_effort == best_effort
            assert store.total(key) == 1

        history()

    @pytest.mark.parametrize(
        ("fault", "best_effort"), [(Fault.THROTTLED, 0), (Fault.REQUEST_LOST, 1), (Fault.ANSWER_LOST, 0)]
    )
    def test_only_a_release_that_proves_unapplied_is_repeated(self, fault: Fault, best_effort: int) -> None:
        @in_virtual_time
        async def history() -> None:
            store = WatchedStore(LATENCY_S)
            engine = make_engine(store)
            key = await make_account(engine)
            created = await engine.entries.create(key, "service")
            store.fail("change_counter", fault)
            await engine.entries.delete(key, created.entry.id)
            await engine.drain()
            assert store.counter(key).best_effort == best_effort
            assert store.total(key) == 0

        history()

    @in_virtual_time
    async def test_a_mixed_flush_of_unknown_outcome_repeats_its_reserves_only(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine)
        created, _ = await outcomes_of(creates(engine.entries, key, 2))
        # The delete's release and the second create meet in the flush after the first create's.
        deletion = asyncio.create_task(engine.entries.delete(key, created[0].entry.id))
        await asyncio.sleep(LATENCY_S * 0.75)
        first = asyncio.create_task(engine.entries.create(key, "in flight"))
        await asyncio.sleep(LATENCY_S * 0.5)
        store.fail("change_counter", Fault.ANSWER_LOST)
        second = asyncio.create_task(engine.entries.create(key, "together with the release"))
        await asyncio.gather(deletion, first, second)
        await engine.drain()
        assert store.total(key) == 3
        assert store.counter(key).best_effort == 4

    @pytest.mark.parametrize(("fault", "best_effort"), [(Fault.REQUEST_LOST, 1), (Fault.ANSWER_LOST, 1)])
    def test_a_delete_in_doubt_succeeds_and_releases_only_what_it_is_known_to_have_deleted(
        self, fault: Fault, best_effort: int
    ) -> None:
        @in_virtual_time
        async def history() -> None:
            store = WatchedStore(LATENCY_S)
            engine = make_engine(store)
            key = await make_account(engine)
            created, _ = await outcomes_of(creates(engine.entries, key, 2))
            store.fail("delete_entries", fault)
            await engine.entries.delete(key, created[0].entry.id)
            assert store.total(key) == 1
            assert store.counter(key).best_effort == (best_effort if fault is Fault.REQUEST_LOST else best_effort + 1)

        history()

    @in_virtual_time
    async def test_a_throttled_entry_write_is_repeated(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine)
        store.fail("insert_page", Fault.THROTTLED, Fault.THROTTLED)
        await engine.entries.create(key, "service")
        assert store.counter(key).best_effort == store.total(key) == 1

    @pytest.mark.parametrize("own_id", [None, "mine"])
    def test_an_entry_write_whose_answer_was_lost_is_sent_again_and_stored_once(self, own_id: str | None) -> None:
        @in_virtual_time
        async def history() -> None:
            store = WatchedStore(LATENCY_S)
            engine = make_engine(store)
            key = await make_account(engine)
            store.fail("insert_page", Fault.ANSWER_LOST, Fault.ANSWER_LOST, Fault.THROTTLED, Fault.REQUEST_LOST)
            created = await engine.entries.create(key, "service", own_id)
            assert not created.replayed
            assert store.counter(key).best_effort == store.total(key) == 1

        history()

    @pytest.mark.parametrize("own_id", [None, "mine"])
    def test_an_entry_write_that_was_lost_is_sent_again(self, own_id: str | None) -> None:
        """The first one may still be under way. It changes nothing any more once a later one was stored."""

        @in_virtual_time
        async def history() -> None:
            store = WatchedStore(LATENCY_S)
            engine = make_engine(store)
            key = await make_account(engine)
            store.fail("insert_page", Fault.REQUEST_LOST, Fault.THROTTLED)
            created = await engine.entries.create(key, "service", own_id)
            assert not created.replayed
            assert store.calls["insert_page"] == 3
            assert store.counter(key).best_effort == store.total(key) == 1

        history()


class TestDeadlines:
    """An answer by the deadline, whatever the store does."""

    @in_virtual_time
    async def test_a_store_that_throttles_for_ever_is_overload_and_reserves_nothing(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine)
        store.fail("change_counter", *[Fault.THROTTLED] * 1000)
        start = asyncio.get_running_loop().time()
        with pytest.raises(OverloadedError):
            await engine.entries.create(key, "service")
        assert asyncio.get_running_loop().time() - start == pytest.approx(DEADLINE_S, abs=0.01)
        store.faults.clear()
        await engine.drain()
        assert store.counter(key).best_effort == store.total(key) == 0

    @in_virtual_time
    async def test_a_reservation_granted_too_late_goes_back_and_no_entry_is_written(self) -> None:
        store = WatchedStore()
        engine = make_engine(store)
        key = await make_account(engine)
        await engine.entries.create(key, "warm")
        store.latency_s = DEADLINE_S * 1.5
        with pytest.raises(OverloadedError):
            await engine.entries.create(key, "late")
        store.latency_s = LATENCY_S
        await engine.drain()
        assert store.calls["insert_page"] == 1
        assert store.counter(key).best_effort == store.total(key) == 1

    @in_virtual_time
    async def test_an_entry_that_was_certainly_not_written_gives_its_reservation_back(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine)
        store.fail("insert_page", *[Fault.THROTTLED] * 1000)
        with pytest.raises(OverloadedError):
            await engine.entries.create(key, "service")
        store.faults.clear()
        await engine.drain()
        assert store.counter(key).best_effort == store.total(key) == 0

    @in_virtual_time
    async def test_an_entry_in_doubt_keeps_its_reservation(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine)
        store.fail("insert_page", *[Fault.REQUEST_LOST] * 1000)
        with pytest.raises(OverloadedError):
            await engine.entries.create(key, "service")
        store.faults.clear()
        await engine.drain()
        assert store.counter(key).best_effort == 1
        assert store.total(key) == 0

    @in_virtual_time
    async def test_a_delete_whose_release_is_late_still_succeeds_and_is_released_later(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine)
        created = await engine.entries.create(key, "service")
        store.fail("change_counter", *[Fault.THROTTLED] * 80)
        await engine.entries.delete(key, created.entry.id)
        assert store.counter(key).best_effort == 1
        await engine.drain()
        assert store.counter(key).best_effort == store.total(key) == 0

    @in_virtual_time
    async def test_a_full_queue_is_overload_at_once(self) -> None:
        engine = make_engine(WatchedStore(LATENCY_S), lanes=LaneSettings(queue_max=5))
        key = await make_account(engine, limit=100)
        created, failed = await outcomes_of(creates(engine.entries, key, 8))
        assert len(created) == 5
        assert {type(error) for error in failed} == {OverloadedError}

    @in_virtual_time
    async def test_a_caller_that_leaves_takes_no_room(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine)
        await engine.entries.create(key, "warm")
        task = asyncio.create_task(engine.entries.create(key, "gone"))
        await asyncio.sleep(LATENCY_S / 2)
        task.cancel()
        await asyncio.wait([task])
        await engine.drain()
        assert store.counter(key).best_effort == store.total(key) == 1
