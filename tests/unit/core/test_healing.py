"""Healing: a recount of a quiet counter (``docs/design/engine.md``, section 7), on a slow store that fails as told.

``WatchedStore`` asserts the one-sided rule after every flush, every healing and every write of an entry.
"""

import asyncio
import copy

import msgspec
import pytest

from counters.errors import (
    AccountNotFoundError,
    CounterBusyError,
    CounterNotFoundError,
    InvalidInputError,
    NotAppliedError,
    OutcomeUnknownError,
)
from counters.healing.healer import Diagnosis
from counters.keys import Ledger
from counters.model import Counter, Cut, Enforcement
from tests.support import factories
from tests.support.engines import make_account, virtual_clock
from tests.support.engines import make_engine as make_engine_with_clock
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
from tests.support.ledgers import put
from tests.support.stores import Fault, WatchedStore
from tests.support.virtual_time import in_virtual_time


class TestQuiet:
    """Only a counter that nothing changed for a while is healed."""

    @in_virtual_time
    async def test_a_hybrid_counter_in_use_is_refused_with_the_time_until_it_is_quiet(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine, enforcement=Enforcement.HYBRID)
        await fill(engine, key, 2)
        await asyncio.sleep(LATENCY_S)
        before = store.counter(key)
        for waited_s, retry_after_s in [(0, QUIET_S), (10, QUIET_S - 10), (QUIET_S - 10.5, 1)]:
            await asyncio.sleep(waited_s)
            with pytest.raises(CounterBusyError) as refusal:
                await engine.healer.heal(key)
            assert refusal.value.retry_after_s == retry_after_s
        assert store.counter(key) == before
        assert not store.calls["list_entries"]

    @in_virtual_time
    async def test_a_counter_is_quiet_from_the_exact_moment_on(self) -> None:
        store = WatchedStore()
        engine = make_engine(store)
        key = await make_account(engine)
        await asyncio.sleep(QUIET_S - 0.001)
        assert not engine.healer.is_quiet(store.counter(key))
        await asyncio.sleep(0.001)
        assert engine.healer.is_quiet(store.counter(key))

    @in_virtual_time
    async def test_healing_and_settling_do_not_touch_a_counter(self) -> None:
        store = WatchedStore()
        engine = make_engine(store)
        key = await make_account(engine)
        await fill(engine, key, 3)
        await asyncio.sleep(QUIET_S)
        await engine.healer.heal(key)
        await Stream(store, key).settle()
        assert engine.healer.is_quiet(store.counter(key))

    @in_virtual_time
    async def test_a_create_that_slips_in_during_the_recount_wins(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine)
        await over_count(store, engine, key)
        await asyncio.sleep(QUIET_S)
        healing = asyncio.create_task(engine.healer.heal(key))
        await asyncio.sleep(LATENCY_S)
        await engine.entries.create(key, "slipped in")
        with pytest.raises(CounterBusyError) as refusal:
            await healing
        assert refusal.value.retry_after_s == QUIET_S
        counter = store.counter(key)
        assert (counter.best_effort, counter.epoch, counter.healed_at_ms) == (3, 0, None)

    @in_virtual_time
    async def test_a_delete_that_slips_in_during_the_recount_wins(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine)
        [created, _] = await fill(engine, key, 2)
        await asyncio.sleep(QUIET_S)
        store.latency_s = 0.1
        healing = asyncio.create_task(engine.healer.heal(key))
        await asyncio.sleep(0.12)
        assert store.calls["list_entries"]
        store.latency_s = LATENCY_S
        await engine.entries.delete(key, created.entry.id)
        with pytest.raises(CounterBusyError):
            await healing
        assert store.counter(key).best_effort == store.total(key) == 1


class TestHeal:
    """Whatever is wrong, a healing sets it right."""

    @in_virtual_time
    async def test_an_over_count_left_by_a_lost_answer_is_repaired(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine)
        await over_count(store, engine, key)
        await Stream(store, key).settle()
        await asyncio.sleep(QUIET_S)
        before = store.counter(key)

        diagnosis = await engine.healer.heal(key)

        after = store.counter(key)
        assert diagnosis == Diagnosis(before=before, total=1, after=after, healed=True)
        assert (after.best_effort, after.drift, after.epoch) == (1, 0, 1)
        assert after.healed_revision == after.revision == before.revision + 1
        assert after.healed_at_ms == virtual_clock() - round(LATENCY_S * 1000)

    @pytest.mark.parametrize("best_effort", [-7, 0, 2, 3, 4, 10**9])
    @pytest.mark.parametrize("eventual", [-7, 3, 10**9])
    def test_any_state_converges_on_the_ledger(self, best_effort: int, eventual: int) -> None:
        @in_virtual_time
        async def history() -> None:
            store = WatchedStore(LATENCY_S)
            engine = make_engine(store)
            key = await make_account(engine)
            await fill(engine, key, 3)
            corrupt(store, key, best_effort=best_effort, eventual=eventual)
            stream = Stream(store, key)
            stream.record()
            stream.pending.clear()
            await asyncio.sleep(SETTLED_S)
            await engine.healer.reconcile(key)
            await stream.settle()
            assert (store.counter(key).best_effort, store.counter(key).eventual) == (3, 3)

        history()

    @pytest.mark.parametrize("slots", [1, 3])
    @pytest.mark.parametrize("number", [0, 1, 9, 10, 11, 20, 105])
    def test_a_ledger_of_several_pages_and_slots_is_counted_whole(
        self, monkeypatch: pytest.MonkeyPatch, slots: int, number: int
    ) -> None:
        monkeypatch.setattr("counters.healing.recount._PAGE", 10)

        @in_virtual_time
        async def history() -> None:
            store = WatchedStore()
            engine = make_engine(store, slots=slots)
            key = await make_account(engine)
            corrupt(store, key, best_effort=10**9, eventual=0)
            await put(store, Ledger(key, slots), (factories.entry(amount=n + 1) for n in range(number)))
            await asyncio.sleep(QUIET_S)
            assert (await engine.healer.heal(key)).total == number * (number + 1) // 2

        history()

    @in_virtual_time
    async def test_reads_in_trouble_are_repeated(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine)
        await over_count(store, engine, key)
        await asyncio.sleep(QUIET_S)
        store.fail("read_counter", Fault.THROTTLED, Fault.ANSWER_LOST)
        store.fail("list_entries", Fault.THROTTLED, Fault.REQUEST_LOST, Fault.ANSWER_LOST)
        await engine.healer.heal(key)
        assert store.counter(key).best_effort == 1

    @pytest.mark.parametrize(
        ("fault", "error"),
        [
            (Fault.THROTTLED, NotAppliedError),
            (Fault.REQUEST_LOST, OutcomeUnknownError),
            (Fault.ANSWER_LOST, OutcomeUnknownError),
        ],
    )
    def test_a_write_in_trouble_is_told_and_the_next_healing_starts_afresh(
        self, fault: Fault, error: type[Exception]
    ) -> None:
        @in_virtual_time
        async def history() -> None:
            store = WatchedStore(LATENCY_S)
            engine = make_engine(store)
            key = await make_account(engine)
            await over_count(store, engine, key)
            await asyncio.sleep(QUIET_S)
            store.fail("heal_counter", fault)
            with pytest.raises(error):
                await engine.healer.heal(key)
            assert store.calls["heal_counter"] == 1
            assert (await engine.healer.heal(key)).healed
            assert store.counter(key).best_effort == store.total(key) == 1

        history()

    @in_virtual_time
    async def test_of_two_healers_at_once_one_heals(self) -> None:
        store = WatchedStore(LATENCY_S)
        engines = [make_engine(store, seed=seed) for seed in range(2)]
        key = await make_account(engines[0])
        await over_count(store, engines[0], key)
        await asyncio.sleep(QUIET_S)
        outcomes = await asyncio.gather(*(engine.healer.heal(key) for engine in engines), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {Diagnosis, CounterBusyError}
        assert (store.counter(key).best_effort, store.counter(key).epoch) == (1, 1)

    @in_virtual_time
    async def test_unknown_account_counter_and_bad_names_are_told_apart(self) -> None:
        engine = make_engine(WatchedStore())
        key = await make_account(engine)
        for look in (engine.healer.diagnose, engine.healer.heal):
            with pytest.raises(AccountNotFoundError):
                await look(factories.counter_key())
            with pytest.raises(CounterNotFoundError, match=f"no counter seats of account {key.account_id}"):
                await look(key._replace(name="seats"))
            with pytest.raises(InvalidInputError, match="name"):
                await look(key._replace(name="Seats"))
            with pytest.raises(InvalidInputError, match="account_id"):
                await look(key._replace(account_id="a#b"))


class TestDiagnose:
    """A look changes nothing."""

    @in_virtual_time
    async def test_diagnosis_tells_the_truth_and_changes_nothing_even_in_use(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine)
        await over_count(store, engine, key)
        state = copy.deepcopy((store._counters, store._ledgers, store._marks))
        counter = store.counter(key)
        assert await engine.healer.diagnose(key) == Diagnosis(before=counter, total=1, after=counter, healed=False)
        await asyncio.sleep(SETTLED_S)
        await engine.healer.diagnose(key)
        assert (store._counters, store._ledgers, store._marks) == state


def in_use(**changes: object) -> Counter:
    """Return a counter that was touched not quite long enough ago to be quiet."""
    return msgspec.structs.replace(drifted(), **{"touched_at_ms": factories.NOW_MS - 14_999, **changes})


def drifted(**changes: int) -> Counter:
    """Return a counter that was touched long ago."""
    counter = factories.counter(best_effort=5)
    return msgspec.structs.replace(counter, touched_at_ms=factories.NOW_MS - 3_600_000, revision=7, **changes)


@pytest.mark.parametrize(
    ("counter", "needed"),
    [
        (drifted(), True),
        (drifted(eventual=5), False),
        (drifted(eventual=6), True),
        (drifted(healed_revision=7), True),
        (drifted(healed_revision=7, settled_at_ms=1), True),
        (drifted(healed_revision=6), True),
        (in_use(), True),
        (in_use(eventual=5), False),
        (in_use(enforcement=Enforcement.HYBRID), False),
        (in_use(enforcement=Enforcement.HYBRID, touched_at_ms=factories.NOW_MS - 15_000), True),
        (in_use(cut=Cut(7, 5)), True),
        (in_use(cut=Cut(7, 5, factories.NOW_MS - 14_999)), False),
        (in_use(cut=Cut(7, 5, factories.NOW_MS - 15_000)), True),
        (msgspec.structs.replace(drifted(healed_revision=7), touched_at_ms=factories.NOW_MS - 899_999), False),
        (msgspec.structs.replace(drifted(healed_revision=7), touched_at_ms=factories.NOW_MS - 900_000), True),
    ],
)
def test_what_needs_healing(counter: Counter, *, needed: bool) -> None:
    assert make_engine_with_clock(WatchedStore()).healer.needs_healing(counter) is needed
