"""Refusals that heal first (``docs/design/engine.md``, section 7)."""

import asyncio

import pytest

from counters.engine import Engine
from counters.errors import (
    LimitReachedError,
)
from counters.model import Created
from tests.support.engines import make_account
from tests.support.healing import (
    LATENCY_S,
    QUIET_S,
    SETTLED_S,
    Stream,
    corrupt,
    fill,
    make_engine,
    over_count,
)
from tests.support.stores import Fault, WatchedStore
from tests.support.virtual_time import in_virtual_time


class TestRefusals:
    """A refusal while the counters differ heals first, and refuses only what then still does not fit."""

    @in_virtual_time
    async def test_a_refused_create_heals_a_quiet_counter_and_succeeds(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine, limit=2)
        await over_count(store, engine, key)
        await Stream(store, key).settle()
        await asyncio.sleep(QUIET_S)
        await engine.entries.create(key, "fits after all")
        assert store.counter(key).best_effort == store.total(key) == 2
        assert store.calls["heal_counter"] == 1

    @in_virtual_time
    async def test_callers_refused_together_share_one_healing_and_the_room_it_finds(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine, limit=2)
        await over_count(store, engine, key)
        await Stream(store, key).settle()
        await asyncio.sleep(QUIET_S)
        outcomes = await asyncio.gather(
            *(engine.entries.create(key, f"service {n}") for n in range(50)), return_exceptions=True
        )
        assert isinstance(outcomes[0], Created)
        assert {type(outcome) for outcome in outcomes[1:]} == {LimitReachedError}
        assert store.counter(key).best_effort == store.total(key) == 2
        assert store.calls["heal_counter"] == 1

    @in_virtual_time
    async def test_a_create_that_finds_no_room_during_a_healing_waits_for_what_it_finds(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine, limit=3)
        await fill(engine, key, 1)
        corrupt(store, key, best_effort=3, eventual=1)
        await asyncio.sleep(QUIET_S)
        store.fail("list_entries", *[Fault.THROTTLED] * 3)
        early = asyncio.create_task(engine.entries.create(key, "starts the healing"))
        await asyncio.sleep(LATENCY_S * 3)
        assert not store.calls["heal_counter"], "the healing is over too early to prove anything"
        late = asyncio.create_task(engine.entries.create(key, "comes meanwhile"))
        await asyncio.gather(early, late)
        assert store.counter(key).best_effort == store.total(key) == 3

    @in_virtual_time
    async def test_a_counter_without_drift_is_refused_without_a_recount(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine, limit=2)
        await fill(engine, key, 2)
        await Stream(store, key).settle()
        await asyncio.sleep(SETTLED_S)
        with pytest.raises(LimitReachedError):
            await engine.entries.create(key, "no room")
        assert not store.calls["list_entries"]

    @in_virtual_time
    async def test_a_counter_in_use_is_refused_without_a_recount(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine, limit=2)
        await over_count(store, engine, key)
        await asyncio.sleep(QUIET_S - 1)
        with pytest.raises(LimitReachedError):
            await engine.entries.create(key, "no room")
        assert not store.calls["list_entries"]

    @in_virtual_time
    async def test_deletes_do_not_wait_for_a_recount(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine, limit=3)
        [created] = await fill(engine, key, 1)
        await over_count(store, engine, key)
        await asyncio.sleep(QUIET_S)
        store.fail("list_entries", *[Fault.THROTTLED] * 20)
        refused = asyncio.create_task(engine.entries.create(key, "waits for the recount"))
        await asyncio.sleep(0.1)
        assert store.calls["list_entries"]
        start = asyncio.get_running_loop().time()
        await engine.entries.delete(key, created.entry.id)
        assert asyncio.get_running_loop().time() - start < 10 * LATENCY_S
        assert not refused.done()
        # The delete makes the recount void, and the room that it made serves the refused.
        await refused
        assert not store.counter(key).epoch
        assert store.total(key) == 2

    @pytest.mark.parametrize("processes", [1, 3])
    def test_a_storm_of_refusals_costs_one_recount_while_nothing_is_settled(self, processes: int) -> None:
        """The Lambda is off: the counters differ for ever, and the counter is full in truth."""

        @in_virtual_time
        async def history() -> None:
            store = WatchedStore(LATENCY_S)
            engines = [make_engine(store, seed=seed) for seed in range(processes)]
            key = await make_account(engines[0], limit=2)
            await fill(engines[0], key, 2)
            await asyncio.sleep(QUIET_S)
            start = asyncio.get_running_loop().time()

            async def hammer(engine: Engine) -> None:
                while asyncio.get_running_loop().time() < start + 60:
                    with pytest.raises(LimitReachedError):
                        await engine.entries.create(key, "no room")
                    await asyncio.sleep(0.05)

            await asyncio.gather(*(hammer(engine) for engine in engines for _ in range(5)))
            # Processes that start at the same instant each recount; one of them heals, and all know it from then on.
            assert store.calls["list_entries"] <= processes
            assert store.counter(key).epoch == 1

        history()

    @in_virtual_time
    async def test_a_healing_that_fails_is_not_tried_again_at_once(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine, limit=2)
        await over_count(store, engine, key)
        await asyncio.sleep(QUIET_S)
        store.fail("heal_counter", Fault.REQUEST_LOST)
        for _ in range(10):
            with pytest.raises(LimitReachedError):
                await engine.entries.create(key, "no room yet")
            await asyncio.sleep(1)
        assert store.calls["heal_counter"] == 1
        await asyncio.sleep(QUIET_S)
        await engine.entries.create(key, "fits after all")

    @in_virtual_time
    async def test_drain_waits_for_a_healing_and_for_who_waits_for_it(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine, limit=2)
        await over_count(store, engine, key)
        await asyncio.sleep(QUIET_S)
        refused = asyncio.create_task(engine.entries.create(key, "fits after all"))
        await asyncio.sleep(LATENCY_S * 2.5)
        assert store.calls["list_entries"]
        assert not store.calls["heal_counter"]
        await engine.drain()
        assert isinstance(await refused, Created)
