"""Reserve, write, answer; delete, release: one lane and several, on a store that takes time and fails as told."""

import asyncio
from collections.abc import Awaitable, Sequence

import pytest

from counters.engine import Engine
from counters.entries import Entries
from counters.errors import AccountNotFoundError, EntryNotFoundError, LimitReachedError, OverloadedError
from counters.keys import CounterKey
from counters.lane import LaneSettings
from counters.model import Created
from tests import factories
from tests.engines import DEADLINE_S, make_account, make_engine
from tests.stores import Fault, WatchedStore
from tests.virtual_time import in_virtual_time

LATENCY_S = 0.004


async def outcomes_of(calls: Sequence[Awaitable[Created]]) -> tuple[list[Created], list[BaseException]]:
    """Wait for all of them; return the successes and the failures."""
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    created = [outcome for outcome in outcomes if isinstance(outcome, Created)]
    return created, [outcome for outcome in outcomes if isinstance(outcome, BaseException)]


def creates(entries: Entries, key: CounterKey, number: int) -> list[Awaitable[Created]]:
    return [entries.create(key, f"service {n}") for n in range(number)]


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
        assert store.calls["write_entries"] <= 5
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
    async def test_a_full_counter_is_read_at_most_ten_times_a_second(self) -> None:
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
        assert 0 < store.calls.total() <= 20
        assert set(store.calls) == {"read_counter"}

    @in_virtual_time
    async def test_room_made_elsewhere_is_found_within_150_ms(self) -> None:
        store = WatchedStore(LATENCY_S)
        here, elsewhere = make_engine(store), make_engine(store, seed=1)
        key = await make_account(here, limit=1)
        only = await here.entries.create(key, "only")
        with pytest.raises(LimitReachedError):
            await here.entries.create(key, "no room")
        await elsewhere.entries.delete(key, only.entry.id)
        await asyncio.sleep(0.15)
        await here.entries.create(key, "room again")

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
        store.fail("insert_entry", Fault.ANSWER_LOST)
        created = await engine.entries.create(key, "first", "mine")
        await engine.drain()
        assert not created.replayed
        assert store.counter(key).best_effort == store.total(key) == 1

    @in_virtual_time
    async def test_an_insert_in_doubt_that_meets_somebody_elses_entry_is_overload_and_keeps_its_reservation(
        self,
    ) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine)
        await engine.entries.create(key, "theirs", "mine")
        store.fail("insert_entry", Fault.ANSWER_LOST)
        with pytest.raises(OverloadedError):
            await engine.entries.create(key, "ours", "mine")
        await engine.drain()
        assert store.total(key) == 1
        assert store.counter(key).best_effort == 2


class TestOneSidedRule:
    """Every doubt is resolved upward (``docs/design.md``, section 4). ``WatchedStore`` asserts it at every write."""

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
            store.fail("delete_entry", fault)
            await engine.entries.delete(key, created[0].entry.id)
            assert store.total(key) == 1
            assert store.counter(key).best_effort == (best_effort if fault is Fault.REQUEST_LOST else best_effort + 1)

        history()

    @in_virtual_time
    async def test_a_throttled_entry_write_is_repeated(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine)
        store.fail("write_entries", Fault.THROTTLED, Fault.THROTTLED)
        await engine.entries.create(key, "service")
        assert store.counter(key).best_effort == store.total(key) == 1

    @pytest.mark.parametrize("own_id", [None, "mine"])
    def test_an_entry_write_of_unknown_outcome_is_looked_for_and_found(self, own_id: str | None) -> None:
        @in_virtual_time
        async def history() -> None:
            store = WatchedStore(LATENCY_S)
            engine = make_engine(store)
            key = await make_account(engine)
            store.fail("write_entries", Fault.ANSWER_LOST)
            store.fail("insert_entry", Fault.ANSWER_LOST)
            store.fail("read_entry", Fault.THROTTLED, Fault.REQUEST_LOST)
            created = await engine.entries.create(key, "service", own_id)
            assert not created.replayed
            assert store.counter(key).best_effort == store.total(key) == 1

        history()

    @pytest.mark.parametrize("own_id", [None, "mine"])
    def test_an_entry_write_of_unknown_outcome_is_never_sent_again(self, own_id: str | None) -> None:
        """The first one may still be under way, and would bring the entry back after a delete."""

        @in_virtual_time
        async def history() -> None:
            store = WatchedStore(LATENCY_S)
            engine = make_engine(store)
            key = await make_account(engine)
            store.fail("write_entries", Fault.REQUEST_LOST)
            store.fail("insert_entry", Fault.REQUEST_LOST)
            with pytest.raises(OverloadedError):
                await engine.entries.create(key, "service", own_id)
            assert store.calls["write_entries"] + store.calls["insert_entry"] == 1
            assert store.total(key) == 0
            assert store.counter(key).best_effort == 1

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
        assert store.calls["write_entries"] == 1
        assert store.counter(key).best_effort == store.total(key) == 1

    @in_virtual_time
    async def test_an_entry_that_was_certainly_not_written_gives_its_reservation_back(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine)
        store.fail("write_entries", *[Fault.THROTTLED] * 1000)
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
        store.fail("write_entries", *[Fault.REQUEST_LOST] * 1000)
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
        store.fail("change_counter", *[Fault.THROTTLED] * 40)
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
