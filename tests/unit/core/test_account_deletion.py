"""Deleting an account: it is closed first, leaves nothing that nobody can reach, and stays deleted."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from counters.engine import Engine
from counters.errors import AccountNotFoundError, CounterError, NotAppliedError, OverloadedError
from counters.keys import CounterKey
from counters.model import Counter, Created, Deletion, Enforcement
from tests.support import factories
from tests.support.callers import LATENCY_S, creates, outcomes_of
from tests.support.engines import DEADLINE_S, ENFORCEMENTS, make_account, make_engine, virtual_clock
from tests.support.late import LATE_S, delay_next, let_act_before_next
from tests.support.stores import Fault, WatchedStore
from tests.support.virtual_time import in_virtual_time

LONG_S = 40.0
"""Longer than anything that was let in can still be written."""

OPERATIONS: dict[str, Callable[[Engine, CounterKey], Awaitable[object]]] = {
    "create": lambda engine, key: engine.entries.create(key, "refused"),
    "create again": lambda engine, key: engine.entries.create(key, "first", "mine"),
    "read an entry": lambda engine, key: engine.entries.get(key, "mine"),
    "list entries": lambda engine, key: engine.entries.page(key, 10, None),
    "rename an entry": lambda engine, key: engine.entries.rename(key, "mine", "new"),
    "delete an entry": lambda engine, key: engine.entries.delete(key, "mine"),
    "read the account": lambda engine, key: engine.accounts.get(key.account_id),
    "rename the account": lambda engine, key: engine.accounts.update(key.account_id, username="eve", limit=None),
    "raise the limit": lambda engine, key: engine.accounts.update(key.account_id, username=None, limit=99),
    "read the counters": lambda engine, key: engine.accounts.counters(key.account_id),
    "delete all entries": lambda engine, key: engine.entries.delete_all(key),
    "reconcile": lambda engine, key: engine.healer.diagnose(key),
}


class TestClosedAccount:
    """While an account is being deleted, everybody but a deleter is told that there is none."""

    @pytest.mark.parametrize("operation", OPERATIONS)
    @pytest.mark.parametrize("enforcement", ENFORCEMENTS)
    @pytest.mark.parametrize("is_other", [False, True])
    def test_every_operation_says_that_there_is_no_account(
        self, operation: str, enforcement: Enforcement, *, is_other: bool
    ) -> None:
        @in_virtual_time
        async def history() -> None:
            store = WatchedStore(LATENCY_S)
            engine, other = (make_engine(store, clock=virtual_clock, seed=seed) for seed in range(2))
            key = await make_account(engine, enforcement=enforcement)
            await engine.entries.create(key, "first", "mine")
            await begin_deletion(store, engine, key)
            with pytest.raises(AccountNotFoundError):
                await OPERATIONS[operation](other if is_other else engine, key)
            assert store.total(key) == 1

        history()

    @in_virtual_time
    async def test_lists_of_accounts_and_counters_leave_it_out(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store, clock=virtual_clock)
        gone, key = await make_account(engine), await make_account(engine)
        await engine.entries.create(gone, "first")
        await begin_deletion(store, engine, gone)
        assert [view.account.id for view in (await engine.accounts.page(10, None)).items] == [key.account_id]
        assert [counter.key for counter in (await engine.accounts.page_of_counters(10, None)).items] == [key]

    @in_virtual_time
    async def test_a_create_that_is_under_way_when_it_is_closed_is_told_so_too(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, other = (make_engine(store, clock=virtual_clock, seed=seed) for seed in range(2))
        key = await make_account(engine, limit=100)
        await outcomes_of(creates(other.entries, key, 3))
        deletion = asyncio.create_task(engine.accounts.delete(key.account_id))
        errors: list[BaseException] = []
        while not deletion.done():
            _, refused = await outcomes_of(creates(other.entries, key, 3))
            errors += refused
            await asyncio.sleep(LATENCY_S)
        assert {type(error) for error in errors} == {AccountNotFoundError}
        assert store.total(key) == 0

    @in_virtual_time
    async def test_a_deletion_that_failed_is_repeated_and_goes_on(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store, clock=virtual_clock)
        key = await make_account(engine)
        await outcomes_of(creates(engine.entries, key, 3))
        await begin_deletion(store, engine, key)
        assert await engine.accounts.delete(key.account_id) == Deletion(3, more=False)
        with pytest.raises(AccountNotFoundError):
            await engine.accounts.delete(key.account_id)
        assert await store.read_counter(key) is None

    @pytest.mark.parametrize("method", ["close_counter", "delete_account"])
    def test_a_step_whose_answer_was_lost_is_repeated(self, method: str) -> None:
        @in_virtual_time
        async def history() -> None:
            store = WatchedStore(LATENCY_S)
            engine = make_engine(store, clock=virtual_clock)
            key = await make_account(engine)
            await engine.entries.create(key, "first")
            store.fail(method, Fault.ANSWER_LOST)
            assert await engine.accounts.delete(key.account_id) == Deletion(1, more=False)
            assert await store.read_counter(key) is None

        history()

    @in_virtual_time
    async def test_two_deleters_at_once_are_both_done(self) -> None:
        store = WatchedStore(LATENCY_S)
        engines = [make_engine(store, clock=virtual_clock, seed=seed) for seed in range(2)]
        key = await make_account(engines[0], limit=100)
        await outcomes_of(creates(engines[0].entries, key, 60))
        deletions = await asyncio.gather(*(engine.accounts.delete(key.account_id) for engine in engines))
        assert not any(deletion.more for deletion in deletions)
        assert store.total(key) == 0
        assert await store.read_counter(key) is None

    @in_virtual_time
    async def test_a_limit_that_is_raised_while_it_is_closed_is_told_so_too(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, other = (make_engine(store, clock=virtual_clock, seed=seed) for seed in range(2))
        key = await make_account(engine)
        await engine.entries.create(key, "first")
        let_act_before_next(store, "set_terms", lambda: begin_deletion(store, other, key))
        with pytest.raises(AccountNotFoundError):
            await engine.accounts.update(key.account_id, username=None, limit=99)


class TestNothingIsLeft:
    """A deleted account leaves no entry that nobody can reach."""

    @in_virtual_time
    async def test_a_raise_and_a_create_beside_the_deletion_leave_no_entry(self) -> None:
        class Store(WatchedStore):
            """Lets another process act between the deletion's last look and its end."""

            async def delete_account(self, key: CounterKey, at_ms: int) -> None:
                told.extend(await raise_and_create(other, key))
                await super().delete_account(key, at_ms)

        told: list[object] = []
        store = Store(LATENCY_S)
        engine, other = (make_engine(store, clock=virtual_clock, seed=seed) for seed in range(2))
        key = await make_account(engine, limit=3)
        await engine.accounts.delete(key.account_id)
        assert [type(outcome) for outcome in told] == [AccountNotFoundError, AccountNotFoundError]
        assert store.total(key) == 0

    @in_virtual_time
    async def test_no_process_lets_anybody_in_by_an_older_look_once_the_deletion_was_answered(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, other = (make_engine(store, clock=virtual_clock, seed=seed) for seed in range(2))
        key = await make_account(engine, limit=100, enforcement=Enforcement.HYBRID)
        await other.entries.create(key, "first")
        await asyncio.sleep(LATENCY_S * 2)
        deletion = asyncio.create_task(engine.accounts.delete(key.account_id))
        await asyncio.sleep(LATENCY_S * 4)
        await other.entries.create(key, "by an older look")
        await deletion
        with pytest.raises(AccountNotFoundError):
            await other.entries.create(key, "refused")
        assert store.total(key) == 0

    @pytest.mark.parametrize("enforcement", ENFORCEMENTS)
    @pytest.mark.parametrize("ends", ["a sweep", "a repeat"])
    def test_an_entry_that_lands_after_the_answer_is_deleted_later(self, enforcement: Enforcement, ends: str) -> None:
        @in_virtual_time
        async def history() -> None:
            store = WatchedStore(LATENCY_S)
            engine, other = (make_engine(store, clock=virtual_clock, seed=seed) for seed in range(2))
            key = await make_account(engine, enforcement=enforcement)
            delay_next(store, "insert_page", DEADLINE_S + LATE_S)
            store.fail("insert_page", *[Fault.REQUEST_LOST] * 100)
            create = asyncio.create_task(other.entries.create(key, "late"))
            await asyncio.sleep(LATENCY_S * 3)
            assert await engine.accounts.delete(key.account_id) == Deletion(0, more=False)
            with pytest.raises(OverloadedError):
                await create
            store.faults.clear()
            await asyncio.sleep(LONG_S)
            assert store.total(key) == 1
            await (engine.sweeper.sweep() if ends == "a sweep" else engine.accounts.delete(key.account_id))
            assert store.total(key) == 0
            assert await store.read_counter(key) is None

        history()

    @in_virtual_time
    async def test_a_sweep_leaves_an_account_alone_that_was_closed_just_now(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store, clock=virtual_clock)
        key = await make_account(engine)
        await engine.entries.create(key, "first")
        await begin_deletion(store, engine, key)
        report = await engine.sweeper.sweep()
        assert (report.looked_at, report.drifted, report.best_effort) == (1, 0, 0)
        assert store.total(key) == 1

    @in_virtual_time
    async def test_a_deletion_that_a_sweep_cannot_end_stops_no_other(self) -> None:
        class Store(WatchedStore):
            """Does not answer when the first account's counter is to be closed."""

            async def close_counter(self, key: CounterKey, at_ms: int) -> Counter | None:
                if key == closed[0]:
                    raise NotAppliedError
                return await super().close_counter(key, at_ms)

        closed: list[CounterKey] = [factories.counter_key()]
        store = Store(LATENCY_S)
        engine = make_engine(store, clock=virtual_clock)
        accounts = [await make_account(engine) for _ in range(2)]
        for key in accounts:
            await engine.entries.create(key, "first")
            await begin_deletion(store, engine, key)
        closed[:] = accounts
        await asyncio.sleep(LONG_S)
        await engine.sweeper.sweep()
        assert [store.total(key) for key in accounts] == [1, 0]


class TestStaysDeleted:
    """What comes late does not bring a deleted account back."""

    @in_virtual_time
    async def test_a_late_first_try_of_the_create_does_not_revive_it(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store, clock=virtual_clock)
        delay_next(store, "create_account")
        key = await make_account(engine)
        await engine.accounts.delete(key.account_id)
        await asyncio.sleep(LATE_S)
        with pytest.raises(AccountNotFoundError):
            await engine.accounts.get(key.account_id)
        assert (await engine.accounts.page(10, None)).items == []
        assert await store.read_counter(key) is None


@in_virtual_time
async def test_the_deletion_is_answered_by_its_deadline_whatever_is_under_way() -> None:
    store = WatchedStore(LATENCY_S)
    engine = make_engine(store, clock=virtual_clock)
    key = await make_account(engine)
    store.fail("change_counter", Fault.ANSWER_LOST)
    await engine.entries.create(key, "counted twice")
    started_at = asyncio.get_running_loop().time()
    assert await engine.accounts.delete(key.account_id) == Deletion(1, more=False)
    assert asyncio.get_running_loop().time() - started_at <= DEADLINE_S + LATENCY_S
    assert store.counter(key).best_effort == 1


async def begin_deletion(store: WatchedStore, engine: Engine, key: CounterKey) -> None:
    """Begin a deletion that fails as soon as the account is closed."""
    store.fail("list_entries", *[Fault.THROTTLED] * 1000)
    with pytest.raises(OverloadedError):
        await engine.accounts.delete(key.account_id)
    store.faults.clear()


async def raise_and_create(engine: Engine, key: CounterKey) -> list[CounterError | Created]:
    outcomes: list[CounterError | Created] = []
    try:
        await engine.accounts.update(key.account_id, username=None, limit=5)
    except CounterError as error:
        outcomes.append(error)
    try:
        outcomes.append(await engine.entries.create(key, "billing", "mine"))
    except CounterError as error:
        outcomes.append(error)
    return outcomes
