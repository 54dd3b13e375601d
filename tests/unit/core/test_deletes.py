"""Delete decides, then release: entries, whole ledgers and accounts."""

import asyncio
from collections.abc import Sequence

import pytest

from counters.engine import Engine
from counters.errors import AccountNotFoundError, EntryNotFoundError, OverloadedError
from counters.keys import CounterKey, Ledger
from counters.model import Deletion, Enforcement, Entry
from tests.support import factories
from tests.support.callers import LATENCY_S, creates, outcomes_of
from tests.support.engines import DEADLINE_S, ENFORCEMENTS, make_account, make_engine
from tests.support.late import let_act_before_next
from tests.support.stores import Fault, WatchedStore
from tests.support.virtual_time import in_virtual_time


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
        assert await engine.entries.delete_all(key) == Deletion(350, more=False)
        assert store.counter(key).best_effort == store.total(key) == 0

    @in_virtual_time
    async def test_delete_all_answers_within_the_deadline_and_says_that_there_is_more(self) -> None:
        store = WatchedStore(latency_s=0.2)
        engine = make_engine(store, slots=3)
        key = await make_account(engine, limit=2000)
        await outcomes_of(creates(engine.entries, key, 2000))
        asked_at = asyncio.get_running_loop().time()
        deletion = await engine.entries.delete_all(key)
        assert asyncio.get_running_loop().time() - asked_at <= DEADLINE_S
        assert deletion.more
        assert 0 < deletion.deleted == 2000 - store.total(key)
        assert store.counter(key).best_effort == store.total(key)

    @in_virtual_time
    async def test_delete_all_goes_on_where_it_stopped(self) -> None:
        store = WatchedStore(latency_s=0.2)
        engine = make_engine(store, slots=3)
        key = await make_account(engine, limit=2000)
        await outcomes_of(creates(engine.entries, key, 2000))
        deletions = [await engine.entries.delete_all(key)]
        while deletions[-1].more:
            deletions.append(await engine.entries.delete_all(key))
        assert sum(deletion.deleted for deletion in deletions) == 2000
        assert store.counter(key).best_effort == store.total(key) == 0

    @in_virtual_time
    async def test_delete_all_does_not_wait_for_one_slow_delete_and_bounds_what_is_in_flight(self) -> None:
        store = CrowdedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine, limit=1000)
        await outcomes_of(creates(engine.entries, key, 500))
        store.slow_s = 1.0
        await engine.entries.delete_all(key)
        assert store.total(key) == 0
        assert store.done_before_the_slow_one > 300
        assert store.in_flight_most <= 100

    @in_virtual_time
    async def test_entries_of_a_page_are_deleted_together_or_else_one_by_one(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, other = make_engine(store), make_engine(store, seed=1)
        key = await make_account(engine, limit=1000)
        created, _ = await outcomes_of(creates(engine.entries, key, 500))
        store.calls.clear()
        # Gone between the reading of its page and the delete of it.
        gone = created[30].entry
        let_act_before_next(store, "delete_entries", lambda: other.entries.delete(key, gone.id))
        assert (await engine.entries.delete_all(key)).deleted in {499, 500}
        assert store.counter(key).best_effort == store.total(key) == 0
        assert store.calls["delete_entries"] <= 1 + 30 + 25

    @pytest.mark.parametrize("enforcement", ENFORCEMENTS)
    @pytest.mark.parametrize("fault", [Fault.ANSWER_LOST, Fault.REQUEST_LOST])
    def test_a_page_whose_delete_was_not_answered_is_not_counted_off_twice(
        self, enforcement: Enforcement, fault: Fault
    ) -> None:
        @in_virtual_time
        async def history() -> None:
            store = WatchedStore(LATENCY_S)
            engine = make_engine(store)
            key = await make_account(engine, limit=100, enforcement=enforcement)
            await outcomes_of(creates(engine.entries, key, 20))
            store.fail("delete_entries", fault)
            await engine.entries.delete_all(key)
            await engine.drain()
            assert store.total(key) == 0
            in_doubt = 20 if (fault, enforcement) == (Fault.ANSWER_LOST, Enforcement.STRICT) else 0
            assert store.counter(key).best_effort == in_doubt

        history()

    @in_virtual_time
    async def test_delete_all_answers_although_a_part_fails(self) -> None:
        store = WatchedStore()
        engine = make_engine(store)
        key = await make_account(engine, limit=1000)
        for _ in range(20):
            await engine.entries.create(key, "alone in its page")
        store.fail("delete_entries", *[None] * 5, *[Fault.THROTTLED] * 20_000)
        assert await engine.entries.delete_all(key) == Deletion(5, more=True)
        assert store.counter(key).best_effort == store.total(key) == 15

    @in_virtual_time
    async def test_delete_all_releases_what_went_even_when_a_part_fails(self) -> None:
        store = WatchedStore()
        engine = make_engine(store)
        key = await make_account(engine, limit=1000)
        await outcomes_of(creates(engine.entries, key, 20))
        store.fail("delete_entries", *[Fault.THROTTLED] * 20_000)
        with pytest.raises(OverloadedError):
            await engine.entries.delete_all(key)
        store.faults.clear()
        assert store.counter(key).best_effort == store.total(key)
        await engine.entries.delete_all(key)
        assert store.counter(key).best_effort == store.total(key) == 0


class CrowdedStore(WatchedStore):
    """Watches deletes side by side; the first of them can be made slow.

    Attributes:
        slow_s: What the first delete takes beside the latency, in seconds.
        in_flight_most: Most deletes that were in flight at a time.
        done_before_the_slow_one: Number of deletes that ended before the first one did.
    """

    def __init__(self, latency_s: float) -> None:
        super().__init__(latency_s)
        self.slow_s = 0.0
        self.in_flight_most = 0
        self.done_before_the_slow_one = 0
        self._in_flight = 0
        self._done = 0

    async def delete_entries(self, ledger: Ledger, seen: Sequence[Entry], at_ms: int) -> bool:
        """See ``Store``."""
        slow_s, self.slow_s = self.slow_s, 0.0
        self._in_flight += 1
        self.in_flight_most = max(self.in_flight_most, self._in_flight)
        await asyncio.sleep(slow_s)
        deleted = await super().delete_entries(ledger, seen, at_ms)
        self._in_flight -= 1
        if slow_s:
            self.done_before_the_slow_one = self._done
        self._done += len(seen)
        return deleted


async def flood(engine: Engine, key: CounterKey) -> None:
    await outcomes_of(creates(engine.entries, key, 200))


class TestAccountDelete:
    """Deleting an account under load leaves nothing behind."""

    @in_virtual_time
    async def test_an_account_with_too_much_for_one_deadline_stays_and_a_repeat_goes_on(self) -> None:
        store = WatchedStore(latency_s=0.2)
        engine = make_engine(store)
        key = await make_account(engine, limit=2000)
        await outcomes_of(creates(engine.entries, key, 2000))
        first = await engine.accounts.delete(key.account_id)
        assert first.more
        assert first.deleted == 2000 - store.total(key)
        assert store.counter(key).is_closed
        while (await engine.accounts.delete(key.account_id)).more:
            pass
        assert store.total(key) == 0
        with pytest.raises(AccountNotFoundError):
            await engine.accounts.get(key.account_id)

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
