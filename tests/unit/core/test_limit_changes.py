"""Changes of limits and names: they hold at once, and a late repeat of an older one does not undo them."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from counters.errors import AccountNotFoundError, ChangeConflictError, LimitReachedError, OverloadedError
from counters.keys import CounterKey
from counters.lanes.lease import LeaseSettings
from counters.model import Enforcement
from tests.support.callers import LATENCY_S, creates, outcomes_of
from tests.support.engines import ENFORCEMENTS, make_account, make_engine
from tests.support.late import LATE_S, delay_next
from tests.support.stores import Fault, WatchedStore
from tests.support.virtual_time import in_virtual_time


class TestLimitHoldsAtOnce:
    """A new limit that was answered holds for the next request of the same process."""

    @pytest.mark.parametrize("enforcement", ENFORCEMENTS)
    def test_a_create_right_after_a_raise_finds_the_room(self, enforcement: Enforcement) -> None:
        @in_virtual_time
        async def history() -> None:
            engine = make_engine(WatchedStore(LATENCY_S))
            key = await make_account(engine, limit=1, enforcement=enforcement)
            await engine.entries.create(key, "first")
            with pytest.raises(LimitReachedError):
                await engine.entries.create(key, "refused")
            await engine.accounts.update(key.account_id, username=None, limit=2)
            await engine.entries.create(key, "second")

        history()

    @pytest.mark.parametrize("enforcement", ENFORCEMENTS)
    def test_a_create_right_after_a_lowering_is_refused(self, enforcement: Enforcement) -> None:
        @in_virtual_time
        async def history() -> None:
            engine = make_engine(WatchedStore(LATENCY_S))
            key = await make_account(engine, limit=5, enforcement=enforcement)
            await engine.entries.create(key, "first")
            await engine.accounts.update(key.account_id, username=None, limit=1)
            with pytest.raises(LimitReachedError):
                await engine.entries.create(key, "refused")

        history()

    @in_virtual_time
    async def test_a_lowering_holds_for_what_was_reserved_ahead(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine, limit=1_000_000)
        for _ in range(5):
            await asyncio.gather(*creates(engine.entries, key, 100))
        assert engine._lanes.open(key)._lease.size
        await engine.accounts.update(key.account_id, limit=0)
        with pytest.raises(LimitReachedError):
            await engine.entries.create(key, "refused")
        await engine.drain()
        assert store.counter(key).best_effort == store.total(key) == 500

    @in_virtual_time
    async def test_a_lowering_holds_for_what_a_flush_reserved_ahead_whose_answer_it_overtook(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine, limit=1_000_000)
        await asyncio.gather(*creates(engine.entries, key, 1000))
        await asyncio.sleep(2 * LeaseSettings().lasts_s)
        flush = asyncio.create_task(engine.entries.create(key, "with a lease"))
        await asyncio.sleep(0.7 * LATENCY_S)
        assert store.counter(key).best_effort > 1001
        lowered = msgspec.structs.replace(store.counter(key), limit=0, terms_version=1)
        store._counters[key] = lowered
        engine._lanes.learn(lowered)
        await flush
        with pytest.raises(LimitReachedError):
            await engine.entries.create(key, "refused")

    @in_virtual_time
    async def test_a_read_that_was_overtaken_by_a_raise_does_not_bring_the_old_limit_back(self) -> None:
        store = WatchedStore()
        engine = make_engine(store)
        key = await make_account(engine, limit=1)
        await engine.entries.create(key, "first")
        seen = store.counter(key)
        await engine.accounts.update(key.account_id, username=None, limit=2)
        engine._lanes.learn(seen)
        await engine.entries.create(key, "second")


class TestLateChanges:
    """The first try of a change may come late: it must not undo what was answered since."""

    @in_virtual_time
    async def test_a_late_limit_does_not_undo_a_newer_one(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, other = make_engine(store), make_engine(store, seed=1)
        key = await make_account(engine, limit=5)
        delay_next(store, "set_terms")
        await engine.accounts.update(key.account_id, username=None, limit=100)
        await other.accounts.update(key.account_id, username=None, limit=3)
        await asyncio.sleep(LATE_S)
        created, refused = await outcomes_of(creates(other.entries, key, 5))
        assert (len(created), len(refused)) == (3, 2)
        assert store.counter(key).limit == 3

    @in_virtual_time
    async def test_a_late_username_does_not_undo_a_newer_one(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine)
        delay_next(store, "rename_account")
        for username in ("grace", "eve", "ada"):
            await engine.accounts.update(key.account_id, username=username, limit=None)
        await asyncio.sleep(LATE_S)
        assert (await engine.accounts.get(key.account_id)).account.username == "ada"

    @in_virtual_time
    async def test_a_late_name_of_an_entry_does_not_undo_a_newer_one(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine)
        entry = (await engine.entries.create(key, "first")).entry
        delay_next(store, "rename_entry")
        for name in ("second", "third", "first"):
            await engine.entries.rename(key, entry.id, name)
        await asyncio.sleep(LATE_S)
        assert (await engine.entries.get(key, entry.id)).name == "first"


async def limit(store: WatchedStore, key: CounterKey, value: int, *, seed: int) -> object:
    return await make_engine(store, seed=seed).accounts.update(key.account_id, username=None, limit=value)


async def username(store: WatchedStore, key: CounterKey, value: int, *, seed: int) -> object:
    return await make_engine(store, seed=seed).accounts.update(key.account_id, username=f"user {value}", limit=None)


async def name(store: WatchedStore, key: CounterKey, value: int, *, seed: int) -> object:
    return await make_engine(store, seed=seed).entries.rename(key, "mine", f"name {value}")


CHANGES = {"set_terms": limit, "rename_account": username, "rename_entry": name}


@pytest.mark.parametrize("method", CHANGES)
class TestChangesInDoubt:
    """A change without an answer is repeated: its nonce tells whether an earlier try made it."""

    def test_a_change_whose_answer_was_lost_is_found_to_be_made(self, method: str) -> None:
        @in_virtual_time
        async def history() -> None:
            store = WatchedStore(LATENCY_S)
            key = await make_entry(store)
            store.fail(method, Fault.ANSWER_LOST)
            await CHANGES[method](store, key, 7, seed=1)
            assert await state(store, key, method) == changed_to(method, 7)

        history()

    def test_a_change_in_doubt_that_meets_a_newer_one_is_a_conflict_and_undoes_nothing(self, method: str) -> None:
        @in_virtual_time
        async def history() -> None:
            store = WatchedStore(LATENCY_S)
            key = await make_entry(store)
            overtake(store, method, lambda: CHANGES[method](store, key, 8, seed=2), Fault.REQUEST_LOST)
            with pytest.raises(ChangeConflictError):
                await CHANGES[method](store, key, 7, seed=1)
            assert await state(store, key, method) == changed_to(method, 8)

        history()

    def test_a_change_without_doubt_that_meets_a_newer_one_is_made_on_top(self, method: str) -> None:
        @in_virtual_time
        async def history() -> None:
            store = WatchedStore(LATENCY_S)
            key = await make_entry(store)
            overtake(store, method, lambda: CHANGES[method](store, key, 8, seed=2), Fault.THROTTLED)
            await CHANGES[method](store, key, 7, seed=1)
            assert await state(store, key, method) == changed_to(method, 7)

        history()

    def test_a_store_that_does_not_answer_is_overload_at_the_deadline(self, method: str) -> None:
        @in_virtual_time
        async def history() -> None:
            store = WatchedStore(LATENCY_S)
            key = await make_entry(store)
            store.fail(method, *[Fault.REQUEST_LOST] * 1000)
            started_at = asyncio.get_running_loop().time()
            with pytest.raises(OverloadedError):
                await CHANGES[method](store, key, 7, seed=1)
            assert asyncio.get_running_loop().time() - started_at <= 5.01

        history()


@in_virtual_time
async def test_a_change_of_an_account_that_is_gone_meanwhile_says_so() -> None:
    store = WatchedStore(LATENCY_S)
    key = await make_entry(store)

    async def delete() -> None:
        await make_engine(store, seed=2).accounts.delete(key.account_id)

    overtake(store, "set_terms", delete, Fault.THROTTLED)
    with pytest.raises(AccountNotFoundError):
        await limit(store, key, 7, seed=1)


async def make_entry(store: WatchedStore) -> CounterKey:
    engine = make_engine(store)
    key = await make_account(engine, limit=5)
    await engine.entries.create(key, "first", "mine")
    return key


async def state(store: WatchedStore, key: CounterKey, method: str) -> object:
    view = await make_engine(store).accounts.get(key.account_id)
    entry = await make_engine(store).entries.get(key, "mine")
    return {"set_terms": view.counter.limit, "rename_account": view.account.username, "rename_entry": entry.name}[
        method
    ]


def changed_to(method: str, value: int) -> object:
    return {"set_terms": value, "rename_account": f"user {value}", "rename_entry": f"name {value}"}[method]


def overtake(store: WatchedStore, method: str, other: Callable[[], Awaitable[object]], fault: Fault) -> None:
    """Let the next call of a method fail, and somebody else act before it is repeated."""
    call = getattr(store, method)

    async def fail_and_let_the_other_act(*args: object) -> object:
        delattr(store, method)
        store.fail(method, fault)
        try:
            return await call(*args)
        finally:
            await other()

    setattr(store, method, fail_and_let_the_other_act)
