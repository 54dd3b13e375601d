"""How the limit is kept can be changed while callers are at work (``docs/design/engine.md``, section 5)."""

import asyncio

import pytest

from counters.errors import InvalidInputError, LimitReachedError, OverloadedError
from counters.keys import CounterKey
from counters.model import Counter, Enforcement
from tests.support.callers import creates, outcomes_of
from tests.support.engines import make_account
from tests.support.healing import LATENCY_S, QUIET_S, fill, make_engine, stick_releases
from tests.support.stores import Fault, WatchedStore
from tests.support.virtual_time import in_virtual_time

TIGHTENING_S = 2 * QUIET_S
FLUSHED_S = 1.0
"""After so long everything that was let in is counted, unless something stands in the way."""


def enforcement_of(store: WatchedStore, key: CounterKey) -> Enforcement:
    return store.counter(key).enforcement


@in_virtual_time
async def test_hybrid_holds_for_the_next_create() -> None:
    store = WatchedStore(LATENCY_S)
    engine = make_engine(store)
    key = await make_account(engine)
    await fill(engine, key, 3)
    view = await engine.accounts.update(key.account_id, enforcement=Enforcement.HYBRID)
    assert view.counter.enforcement is Enforcement.HYBRID
    stick_releases(store)
    await engine.entries.create(key, "does not wait for the counter")
    store.faults.clear()
    await engine.drain()
    assert store.counter(key).best_effort == store.total(key) == 4


@in_virtual_time
async def test_what_was_reserved_is_counted_once_when_the_counter_became_hybrid_meanwhile() -> None:
    store = WatchedStore(LATENCY_S)
    strict, other = make_engine(store), make_engine(store, seed=1)
    key = await make_account(strict, limit=10)
    await fill(strict, key, 3)
    await other.accounts.update(key.account_id, enforcement=Enforcement.HYBRID)
    # Planned by a look from before the change; the limit is the same, so the flush is applied.
    await fill(strict, key, 4)
    await asyncio.sleep(FLUSHED_S)
    assert store.counter(key).best_effort == store.total(key) == 7
    # Nothing is left in flight either: there is room for three more, and no fourth.
    created, failed = await outcomes_of(creates(strict.entries, key, 10))
    assert (len(created), len(failed)) == (3, 7)


@in_virtual_time
async def test_on_the_way_to_strict_nothing_is_let_in_until_all_is_counted() -> None:
    store = WatchedStore(LATENCY_S)
    engine, other = make_engine(store), make_engine(store, seed=1)
    key = await make_account(engine, limit=5, enforcement=Enforcement.HYBRID)
    await fill(other, key, 2)
    # Two more that best_effort misses: their additions are in doubt, and so not repeated.
    store.fail("change_counter", Fault.REQUEST_LOST, Fault.REQUEST_LOST)
    await fill(other, key, 1)
    await fill(other, key, 1)
    await asyncio.sleep(FLUSHED_S)
    assert store.counter(key).best_effort < store.total(key) == 4

    view = await engine.accounts.update(key.account_id, enforcement=Enforcement.STRICT)
    assert view.counter.enforcement is Enforcement.TIGHTENING
    await asyncio.sleep(1.0)
    for process in (engine, other):
        with pytest.raises(OverloadedError, match="becoming strict") as refused:
            await process.entries.create(key, "too early")
        assert 1 <= refused.value.retry_after_s <= TIGHTENING_S

    await asyncio.sleep(TIGHTENING_S)
    for process, room in ((engine, 1), (other, 0)):
        created, failed = await outcomes_of(creates(process.entries, key, 4))
        assert enforcement_of(store, key) is Enforcement.STRICT
        assert len(created) == room
        assert {type(error) for error in failed} == {LimitReachedError}
    assert store.counter(key).best_effort == store.total(key) == 5


@in_virtual_time
async def test_a_process_that_cannot_see_the_change_stops_letting_creates_in() -> None:
    store = WatchedStore(LATENCY_S)
    engine, cut_off = make_engine(store), make_engine(store, seed=1)
    key = await make_account(engine, limit=100, enforcement=Enforcement.HYBRID)
    await fill(cut_off, key, 3)
    await asyncio.sleep(FLUSHED_S)
    await engine.accounts.update(key.account_id, enforcement=Enforcement.STRICT)
    for method in ("read_counter", "change_counter"):
        store.fail(method, *[Fault.THROTTLED] * 100_000)
    await cut_off.entries.create(key, "let in by an old look")
    await asyncio.sleep(QUIET_S / 2)
    with pytest.raises(OverloadedError):
        await cut_off.entries.create(key, "by too old a look")
    assert store.total(key) == 4


class PausedStore(WatchedStore):
    """The process stands still once between the arrival of a counter that it read and the look at it."""

    def __init__(self) -> None:
        super().__init__(LATENCY_S)
        self.pause_s = 0.0
        self.resumed = asyncio.Event()

    async def read_counter(self, key: CounterKey) -> Counter | None:
        """See ``Store``."""
        counter = await super().read_counter(key)
        if self.pause_s:
            pause_s, self.pause_s = self.pause_s, 0.0
            await asyncio.sleep(pause_s)
            self.resumed.set()
        return counter


@in_virtual_time
async def test_a_process_that_stood_still_with_a_look_in_its_hand_lets_nobody_in_by_it() -> None:
    store = PausedStore()
    engine, paused = make_engine(store), make_engine(store, seed=1)
    key = await make_account(engine, limit=5, enforcement=Enforcement.HYBRID)
    await fill(engine, key, 4)
    await asyncio.sleep(FLUSHED_S)
    store.pause_s = TIGHTENING_S + 10
    late = asyncio.create_task(paused.entries.create(key, "from before the pause"))
    await asyncio.sleep(FLUSHED_S)
    await engine.accounts.update(key.account_id, enforcement=Enforcement.STRICT)
    await asyncio.sleep(TIGHTENING_S)
    await fill(engine, key, 1)
    assert enforcement_of(store, key) is Enforcement.STRICT
    with pytest.raises(OverloadedError):
        await late
    await store.resumed.wait()
    created, refused = await outcomes_of(creates(paused.entries, key, 3))
    assert (len(created), {type(error) for error in refused}) == (0, {LimitReachedError})
    assert store.counter(key).best_effort == store.total(key) == 5


@in_virtual_time
async def test_a_release_that_was_made_for_hybrid_takes_nothing_from_strict() -> None:
    store = WatchedStore(LATENCY_S)
    engine, late = make_engine(store), make_engine(store, seed=1)
    key = await make_account(engine, limit=5, enforcement=Enforcement.HYBRID)
    created = await fill(late, key, 5)
    await asyncio.sleep(FLUSHED_S)
    stick_releases(store)
    await late.entries.delete(key, created[0].entry.id)
    assert store.total(key) == 4
    await engine.accounts.update(key.account_id, enforcement=Enforcement.STRICT)
    await asyncio.sleep(TIGHTENING_S)
    await engine.healer.heal(key)
    assert enforcement_of(store, key) is Enforcement.STRICT
    store.faults.clear()
    await late.drain()
    assert store.counter(key).best_effort == store.total(key) == 4


@in_virtual_time
async def test_a_sweep_ends_the_tightening_when_nobody_creates() -> None:
    store = WatchedStore()
    engine = make_engine(store)
    key = await make_account(engine, enforcement=Enforcement.HYBRID)
    await engine.accounts.update(key.account_id, enforcement=Enforcement.STRICT)
    await asyncio.sleep(TIGHTENING_S - 1)
    await engine.sweeper.sweep()
    assert enforcement_of(store, key) is Enforcement.TIGHTENING
    await asyncio.sleep(1)
    await engine.sweeper.sweep()
    assert enforcement_of(store, key) is Enforcement.STRICT


@in_virtual_time
async def test_the_limit_and_its_enforcement_change_together() -> None:
    store = WatchedStore()
    engine = make_engine(store)
    key = await make_account(engine, limit=5)
    view = await engine.accounts.update(key.account_id, limit=3, enforcement=Enforcement.HYBRID)
    assert (view.counter.limit, view.counter.enforcement) == (3, Enforcement.HYBRID)
    assert store.calls["set_terms"] == 1


@in_virtual_time
async def test_what_is_so_already_is_not_written_and_tightening_cannot_be_asked_for() -> None:
    store = WatchedStore()
    engine = make_engine(store)
    key = await make_account(engine)
    await engine.accounts.update(key.account_id, enforcement=Enforcement.STRICT)
    assert store.calls["set_terms"] == 0
    with pytest.raises(InvalidInputError, match="must be strict or hybrid"):
        await engine.accounts.update(key.account_id, username="eve", enforcement=Enforcement.TIGHTENING)
    assert (await engine.accounts.get(key.account_id)).account.username == "ada"
    await engine.accounts.update(key.account_id, enforcement=Enforcement.HYBRID)
    for wanted in (Enforcement.STRICT, Enforcement.STRICT, Enforcement.TIGHTENING):
        view = await engine.accounts.update(key.account_id, enforcement=wanted)
        assert view.counter.enforcement is Enforcement.TIGHTENING
    view = await engine.accounts.update(key.account_id, enforcement=Enforcement.HYBRID)
    assert view.counter.enforcement is Enforcement.HYBRID
    await engine.entries.create(key, "hybrid again")
