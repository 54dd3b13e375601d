"""Repairs of damaged counters, by hand of an operator and by sweeps, while the counter's callers go on."""

import asyncio
from random import Random

import pytest

from counters.engine import Engine
from counters.errors import AccountNotFoundError, CounterBusyError, CounterDamagedError, LimitReachedError
from counters.keys import CounterKey, slot_of
from tests.support.engines import make_account, virtual_clock
from tests.support.hands import MemoryHand, RawValue
from tests.support.healing import LATENCY_S, QUIET_S, Stream, fill, make_engine
from tests.support.late import let_act_before_next
from tests.support.stores import WatchedStore
from tests.support.virtual_time import in_virtual_time


async def make_used(store: WatchedStore, *, slots: int = 1, number: int = 3) -> tuple[Engine, CounterKey]:
    """Return an engine and a counter of 10 with so many entries, which was quiet for long enough."""
    engine = make_engine(store, slots=slots)
    key = await make_account(engine, limit=10)
    await fill(engine, key, number)
    await asyncio.sleep(2 * QUIET_S)
    return engine, key


class TestRepair:
    """A repair is a healing that trusts nothing of the counter but what can be read."""

    @pytest.mark.parametrize("slots", [1, 2, 7, 64])
    def test_lost_slots_are_found_by_where_the_entries_are(self, slots: int) -> None:
        @in_virtual_time
        async def history() -> None:
            store = WatchedStore()
            engine, key = await make_used(store, slots=slots, number=10)
            MemoryHand(store).set_counter(key, "slots", {"N": "1000"})
            after = (await engine.healer.reconcile(key)).after
            assert after.best_effort == store.total(key) == 10
            for (_, slot), ledger in store._ledgers.items():
                assert all(slot_of(id_, after.slots or 0) == slot for id_ in ledger)
            page = await engine.entries.page(key, 100, None)
            await engine.entries.delete_all(key)
            assert (len(page.items), store.total(key)) == (10, 0)

        history()

    @in_virtual_time
    async def test_slots_of_an_empty_ledger_may_be_any(self) -> None:
        store = WatchedStore()
        engine, key = await make_used(store, slots=7, number=0)
        MemoryHand(store).set_counter(key, "slots", None)
        assert (await engine.healer.reconcile(key)).after.slots == 1

    @in_virtual_time
    async def test_slots_that_fit_no_entry_s_place_are_left_to_a_person(self) -> None:
        store = WatchedStore()
        engine, key = await make_used(store)
        store._ledgers[key, 63] = store._ledgers.pop((key, 0))
        MemoryHand(store).set_counter(key, "slots", None)
        with pytest.raises(CounterDamagedError, match="set slots to what it was"):
            await engine.healer.reconcile(key)
        assert key in store.damaged

    @in_virtual_time
    async def test_a_counter_of_which_nobody_can_tell_whether_it_is_quiet_has_to_be_quiet_first(self) -> None:
        store = WatchedStore()
        engine, key = await make_used(store)
        hand = MemoryHand(store)
        hand.set_counter(key, "best_effort", {"N": "2.5"})
        hand.set_counter(key, "touched_at", {"S": "yesterday"})
        for _ in range(2):
            with pytest.raises(CounterBusyError):
                await engine.healer.reconcile(key)
            await asyncio.sleep(QUIET_S / 2)
        assert (await engine.healer.reconcile(key)).after.best_effort == 3

    @in_virtual_time
    async def test_a_time_in_the_future_does_not_keep_a_counter_from_healing_for_ever(self) -> None:
        store = WatchedStore()
        engine, key = await make_used(store)
        hand = MemoryHand(store)
        hand.set_counter(key, "touched_at", {"N": str(virtual_clock() + 10**9)})
        hand.set_counter(key, "best_effort", {"N": "9"})
        with pytest.raises(CounterBusyError) as busy:
            await engine.healer.heal(key)
        assert busy.value.retry_after_s == QUIET_S
        await asyncio.sleep(QUIET_S)
        assert (await engine.healer.heal(key)).after.best_effort == 3

    @in_virtual_time
    async def test_what_was_released_under_a_lost_epoch_is_not_released_again(self) -> None:
        store = WatchedStore()
        engine, key = await make_used(store)
        epoch = store.counter(key).epoch
        MemoryHand(store).set_counter(key, "epoch", {"S": "0"})
        after = (await engine.healer.reconcile(key)).after
        assert store.counter(key).epoch not in {0, epoch}
        assert after.best_effort == 3

    @in_virtual_time
    async def test_records_that_the_recount_saw_are_not_counted_twice(self) -> None:
        store = WatchedStore()
        engine, key = await make_used(store)
        stream = Stream(store, key)
        stream.record()
        MemoryHand(store).set_counter(key, "eventual", {"S": "3"})
        await engine.healer.reconcile(key)
        assert store.counter(key).eventual == 3
        await stream.settle()
        assert store.counter(key).eventual == store.total(key) == 3

    @in_virtual_time
    async def test_of_two_repairs_one_is_made(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, key = await make_used(store)
        MemoryHand(store).set_counter(key, "best_effort", {"N": "2.5"})
        outcomes = await asyncio.gather(
            *(healer.reconcile(key) for healer in (engine.healer, make_engine(store, seed=1).healer)),
            return_exceptions=True,
        )
        assert sorted(isinstance(outcome, CounterBusyError) for outcome in outcomes) == [False, True]
        # The repair began one epoch, and its census another.
        assert store.counter(key).epoch == 2

    @in_virtual_time
    async def test_a_counter_that_may_have_been_hybrid_has_to_be_quiet_for_longer(self) -> None:
        store = WatchedStore()
        engine, key = await make_used(store)
        await engine.entries.create(key, "one more")
        MemoryHand(store).set_counter(key, "enforcement", None)
        await asyncio.sleep(QUIET_S)
        with pytest.raises(CounterBusyError):
            await engine.healer.reconcile(key)
        await asyncio.sleep(QUIET_S)
        after = (await engine.healer.reconcile(key)).after
        assert (after.enforcement, after.best_effort) == ("strict", 4)

    @in_virtual_time
    async def test_a_hybrid_counter_stays_hybrid_unless_that_is_lost(self) -> None:
        store = WatchedStore()
        engine, key = await make_used(store)
        hand = MemoryHand(store)
        hand.set_counter(key, "enforcement", {"S": "hybrid"})
        hand.set_counter(key, "best_effort", {"S": "3"})
        assert (await engine.healer.reconcile(key)).after.enforcement == "hybrid"
        hand.set_counter(key, "enforcement", {"S": "lenient"})
        assert (await engine.healer.reconcile(key)).after.enforcement == "strict"


class TestDamagedLane:
    """A lane whose counter a hand changed."""

    @in_virtual_time
    async def test_a_counter_damaged_under_load_lets_nothing_in_until_it_is_repaired(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, key = await make_used(store)
        creating = [asyncio.create_task(engine.entries.create(key, f"service {n}")) for n in range(3)]
        await asyncio.sleep(LATENCY_S / 4)
        MemoryHand(store).set_counter(key, "best_effort", {"N": "2.5"})
        outcomes = await asyncio.gather(*creating, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {CounterDamagedError}
        with pytest.raises(CounterDamagedError):
            await engine.entries.delete_all(key)
        await asyncio.sleep(QUIET_S)
        await engine.healer.reconcile(key)
        await fill(engine, key, 7)
        assert store.counter(key).best_effort == store.total(key) == 10
        with pytest.raises(LimitReachedError):
            await engine.entries.create(key, "no room")

    @in_virtual_time
    async def test_a_revision_that_was_set_back_does_not_make_a_lane_spin(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, key = await make_used(store, number=5)
        await engine.entries.create(key, "so that the lane has seen the counter")
        hand = MemoryHand(store)
        hand.set_counter(key, "revision", {"N": "0"})
        hand.set_counter(key, "limit", {"N": "7"})
        store.calls.clear()
        outcomes = await asyncio.gather(
            *(engine.entries.create(key, f"service {n}") for n in range(4)), return_exceptions=True
        )
        assert [isinstance(outcome, LimitReachedError) for outcome in outcomes] == [False, True, True, True]
        assert store.calls["change_counter"] <= 4

    @in_virtual_time
    async def test_the_wait_of_a_refused_create_ends_when_the_counter_is_damaged(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, key = await make_used(store, number=10)
        creating = asyncio.create_task(engine.entries.create(key, "waits for a healing"))
        await asyncio.sleep(LATENCY_S * 1.5)
        MemoryHand(store).set_counter(key, "marks", None)
        with pytest.raises((CounterDamagedError, LimitReachedError)):
            await creating
        with pytest.raises(CounterDamagedError):
            await engine.entries.create(key, "late", entry_id="mine")


class TestSweep:
    """A sweep goes on, tells which counters are damaged, and repairs those that lost nothing that a person chose."""

    @in_virtual_time
    async def test_one_damaged_counter_ends_no_sweep(self, caplog: pytest.LogCaptureFixture) -> None:
        store = WatchedStore()
        engine = make_engine(store)
        keys = sorted([await make_account(engine, limit=10) for _ in range(6)])
        for key in keys:
            await fill(engine, key, 2)
        hand = MemoryHand(store)
        hand.set_counter(keys[0], "best_effort", {"N": "2.5"})
        hand.set_counter(keys[1], "limit", None)
        hand.set_counter(keys[2], "touched_at", {"S": "now"})
        hand.delete_counter(keys[3])
        store._directory.add("nobody")
        await asyncio.sleep(QUIET_S)

        report = await engine.sweeper.sweep()

        assert (report.looked_at, report.damaged, report.repaired) == (7, 4, 1)
        assert (report.drifted, report.healed, report.busy, report.failed) == (2, 2, 1, 0)
        assert (report.best_effort, report.eventual) == (4, 0)
        told = [vars(record)["fields"] for record in caplog.records if record.message == "counter.damaged"]
        assert [one["account_id"] for one in told] == [key.account_id for key in keys[:4]]
        assert told[0]["unreadable"] == ("best_effort",)
        assert store.counter(keys[0]).best_effort == 2

        # What was marked as touched is quiet by the next sweep; the others wait for a person.
        await asyncio.sleep(QUIET_S)
        again = await engine.sweeper.sweep()
        assert (again.damaged, again.repaired, again.busy) == (3, 1, 0)
        assert set(store.damaged) == {keys[1]}

    @in_virtual_time
    async def test_the_deletion_of_an_account_whose_counter_is_damaged_is_ended(self) -> None:
        store = WatchedStore()
        engine, key = await make_used(store)
        hand = MemoryHand(store)
        hand.set_counter(key, "best_effort", {"N": "2.5"})
        hand.set_counter(key, "enforcement", None)
        with pytest.raises(CounterDamagedError):
            await engine.accounts.delete(key.account_id)
        with pytest.raises(AccountNotFoundError):
            await engine.accounts.get(key.account_id)
        first = await engine.sweeper.sweep()
        assert (first.damaged, first.repaired) == (1, 1)
        await asyncio.sleep(2 * QUIET_S)
        await engine.sweeper.sweep()
        assert store.total(key) == 0
        assert await store.list_account_ids(1, None) == ([], False)


def test_random_damage_is_repaired_to_the_ledger() -> None:
    @in_virtual_time
    async def history() -> None:
        random = Random(16)
        store = WatchedStore()
        engine, key = await make_used(store, slots=3)
        attributes = ("best_effort", "eventual", "enforcement", "slots", "epoch", "revision", "touched_at", "marks")
        values: tuple[RawValue | None, ...] = (
            {"N": "2.5"},
            {"S": ""},
            {"N": "1E+40"},
            {"NULL": True},
            {"L": []},
            {"M": {}},
            {"BOOL": True},
            None,
        )
        for _ in range(50):
            for attribute in random.sample(attributes, random.randint(1, len(attributes))):
                MemoryHand(store).set_counter(key, attribute, random.choice(values))
            for _ in range(3):
                await asyncio.sleep(QUIET_S)
                try:
                    await engine.healer.reconcile(key)
                except CounterBusyError:
                    continue
            counter = store.counter(key)
            assert (counter.best_effort, counter.eventual, counter.limit) == (3, 3, 10)
            assert len((await engine.entries.page(key, 10, None)).items) == 3

    history()


@in_virtual_time
async def test_amounts_that_no_total_could_hold_do_not_keep_a_counter_from_healing() -> None:
    store = WatchedStore()
    engine, key = await make_used(store)
    for entry in (await engine.entries.page(key, 2, None)).items:
        MemoryHand(store).set_entry(key, entry.id, "amount", {"N": "9" * 18})
    diagnosis = await engine.healer.reconcile(key)
    assert (diagnosis.total, diagnosis.unreadable) == (3, 2)
    await engine.entries.create(key, "goes on")


@in_virtual_time
async def test_an_account_whose_lost_counter_is_repaired_while_it_is_deleted_is_gone() -> None:
    store = WatchedStore()
    engine, key = await make_used(store)
    MemoryHand(store).delete_counter(key)
    with pytest.raises(CounterBusyError):
        await engine.healer.reconcile(key)
    await asyncio.sleep(2 * QUIET_S)
    damaged = store.damaged.pop(key)

    async def repair() -> None:
        store.damaged[key] = damaged
        await engine.healer.reconcile(key)

    let_act_before_next(store, "read_counter", repair)
    await engine.accounts.delete(key.account_id)
    with pytest.raises(AccountNotFoundError):
        await engine.accounts.get(key.account_id)
    assert store.total(key) == 0
