"""Healing: a recount of a quiet counter (``docs/design.md``, section 7), on a store that takes time and fails as told.

``WatchedStore`` asserts the one-sided rule after every flush, every healing and every write of an entry.
"""

import asyncio
import copy
from collections.abc import Iterator

import msgspec
import pytest

from counters.engine import Engine
from counters.errors import (
    AccountNotFoundError,
    CounterBusyError,
    CounterNotFoundError,
    InvalidInputError,
    LimitReachedError,
    NotAppliedError,
    OutcomeUnknownError,
)
from counters.healing import Diagnosis, HealingSettings
from counters.keys import CounterKey
from counters.lane import LaneSettings
from counters.model import Counter, Created
from counters.settlement import EntryChange, settle_batch
from tests import factories
from tests.engines import make_account, virtual_clock
from tests.engines import make_engine as make_engine_with_clock
from tests.stores import Fault, WatchedStore
from tests.virtual_time import in_virtual_time

LATENCY_S = 0.004
QUIET_S = HealingSettings().quiet_s
SETTLED_S = HealingSettings().settled_s
SHARD = "shard"


def make_engine(store: WatchedStore, *, seed: int = 0, slots: int = 1, idle_s: float = 10.0) -> Engine:
    return make_engine_with_clock(store, seed=seed, slots=slots, clock=virtual_clock, lanes=LaneSettings(idle_s=idle_s))


async def fill(engine: Engine, key: CounterKey, number: int) -> list[Created]:
    return await asyncio.gather(*(engine.entries.create(key, f"service {n}") for n in range(number)))


async def over_count(store: WatchedStore, engine: Engine, key: CounterKey) -> None:
    """Create an entry whose reservation is made twice, as the first answer is lost."""
    store.fail("change_counter", Fault.ANSWER_LOST)
    await engine.entries.create(key, "counted twice")
    assert store.counter(key).best_effort == store.total(key) + 1


def corrupt(store: WatchedStore, key: CounterKey, *, best_effort: int, eventual: int) -> None:
    """Set a counter to anything, behind everybody's back."""
    store._counters[key] = msgspec.structs.replace(store.counter(key), best_effort=best_effort, eventual=eventual)


def stick_releases(store: WatchedStore) -> None:
    """Let no flush through until the faults are cleared."""
    store.fail("change_counter", *[Fault.THROTTLED] * 10_000)


class Stream:
    """The table's stream, to the second like the real one, and the Lambda behind it, which runs when told."""

    def __init__(self, store: WatchedStore, key: CounterKey) -> None:
        self._store = store
        self._key = key
        self._seen: dict[str, int] = {}
        self._numbers: Iterator[int] = iter(range(1, 10**6))
        self.pending: list[EntryChange] = []

    def record(self) -> None:
        """Make records of what happened to the ledger since the last call, as of now."""
        ledgers = (ledger for (owner, _), ledger in self._store._ledgers.items() if owner == self._key)
        now = {entry.id: entry.amount for ledger in ledgers for entry in ledger.values()}
        deltas = [now[id_] for id_ in now.keys() - self._seen.keys()]
        deltas += [-self._seen[id_] for id_ in self._seen.keys() - now.keys()]
        at_ms = virtual_clock() // 1000 * 1000
        self.pending += [EntryChange(self._key, next(self._numbers), delta, at_ms) for delta in deltas]
        self._seen = now

    async def settle(self) -> None:
        """Record, then settle everything that is pending."""
        self.record()
        batch, self.pending = self.pending, []
        await settle_batch(self._store, SHARD, batch, virtual_clock())


class TestQuiet:
    """Only a counter that nothing changed for a while is healed."""

    @in_virtual_time
    async def test_a_counter_in_use_is_refused_with_the_time_until_it_is_quiet(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine)
        await over_count(store, engine, key)
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
            await asyncio.sleep(SETTLED_S)
            await engine.healer.heal(key)
            assert (store.counter(key).best_effort, store.counter(key).eventual) == (3, 3)

        history()

    @pytest.mark.parametrize("slots", [1, 3])
    @pytest.mark.parametrize("number", [0, 1, 9, 10, 11, 20, 105])
    def test_a_ledger_of_several_pages_and_slots_is_counted_whole(
        self, monkeypatch: pytest.MonkeyPatch, slots: int, number: int
    ) -> None:
        monkeypatch.setattr("counters.healing._RECOUNT_PAGE", 10)

        @in_virtual_time
        async def history() -> None:
            store = WatchedStore()
            engine = make_engine(store, slots=slots)
            key = await make_account(engine)
            corrupt(store, key, best_effort=10**9, eventual=0)
            await store.write_entries(key, slots, [factories.entry(amount=n + 1) for n in range(number)])
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


class TestEpochs:
    """A release that a healing overtook is dropped, as it may have been counted; too high is safe, too low is not."""

    @in_virtual_time
    async def test_a_release_that_the_recount_saw_is_dropped(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, other = make_engine(store), make_engine(store, seed=1)
        key = await make_account(engine)
        [created, _] = await fill(engine, key, 2)
        await asyncio.sleep(QUIET_S)
        stick_releases(store)
        deletion = asyncio.create_task(engine.entries.delete(key, created.entry.id))
        await asyncio.sleep(1)
        assert (await other.healer.heal(key)).total == 1
        store.faults.clear()
        async with asyncio.timeout(1):
            await deletion
        assert store.counter(key).best_effort == store.total(key) == 1
        # The lane knows the new epoch now: the next release counts.
        await engine.entries.delete(key, (await engine.entries.create(key, "next")).entry.id)
        assert store.counter(key).best_effort == store.total(key) == 1

    @in_virtual_time
    async def test_a_release_that_the_recount_did_not_see_is_dropped_and_the_next_healing_repairs(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, other = make_engine(store), make_engine(store, seed=1)
        key = await make_account(engine)
        [created, _] = await fill(engine, key, 2)
        await asyncio.sleep(QUIET_S)
        stick_releases(store)
        healing = asyncio.create_task(other.healer.heal(key))
        # The page has been read and its answer is on the way.
        await asyncio.sleep(LATENCY_S * 1.75)
        store.latency_s = 0.0
        deletion = asyncio.create_task(engine.entries.delete(key, created.entry.id))
        await asyncio.sleep(LATENCY_S / 8)
        assert store.total(key) == 1
        assert (await healing).total == 2
        store.faults.clear()
        await deletion
        await engine.drain()
        assert store.counter(key).best_effort == 2

        await asyncio.sleep(QUIET_S)
        await other.healer.heal(key)
        assert store.counter(key).best_effort == store.total(key) == 1

    @in_virtual_time
    async def test_a_release_dropped_by_a_healing_that_missed_its_delete_is_repaired_by_the_next_refusal(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, other = make_engine(store), make_engine(store, seed=1)
        key = await make_account(engine, limit=4)
        stream = Stream(store, key)
        [created, _] = await fill(engine, key, 2)
        await over_count(store, engine, key)
        await stream.settle()
        await asyncio.sleep(QUIET_S)
        stick_releases(store)
        healing = asyncio.create_task(other.healer.heal(key))
        await asyncio.sleep(LATENCY_S * 1.75)
        store.latency_s = 0.0
        deletion = asyncio.create_task(engine.entries.delete(key, created.entry.id))
        await healing
        store.faults.clear()
        await deletion
        assert (store.counter(key).best_effort, store.total(key)) == (3, 2)
        await engine.accounts.update(key.account_id, username=None, limit=3)
        await stream.settle()

        await asyncio.sleep(QUIET_S)
        await engine.entries.create(key, "fits after all")

    @in_virtual_time
    async def test_a_surplus_reservation_of_an_earlier_epoch_is_dropped(self) -> None:
        """A replay's reservation goes back in a flush of its own, which may be stuck until after a healing."""
        store = WatchedStore(LATENCY_S)
        engine, other = make_engine(store), make_engine(store, seed=1)
        key = await make_account(engine)
        await engine.entries.create(key, "first", "mine")
        assert (await engine.entries.create(key, "again", "mine")).replayed
        stick_releases(store)
        await asyncio.sleep(QUIET_S)
        assert store.counter(key).best_effort == 2
        await other.healer.heal(key)
        store.faults.clear()
        await engine.drain()
        assert store.counter(key).best_effort == store.total(key) == 1

    @pytest.mark.parametrize("creates_first", [True, False])
    def test_a_lane_that_missed_a_healing_drops_no_release_of_its_own(self, *, creates_first: bool) -> None:
        @in_virtual_time
        async def history() -> None:
            store = WatchedStore(LATENCY_S)
            engine, other = make_engine(store, idle_s=3600), make_engine(store, seed=1)
            key = await make_account(engine)
            created = await fill(engine, key, 2)
            await asyncio.sleep(QUIET_S)
            await other.healer.heal(key)
            created += await fill(engine, key, 1) if creates_first else []
            await engine.entries.delete(key, created[-1].entry.id)
            assert store.counter(key).best_effort == store.total(key) == len(created) - 1

        history()


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
        store.fail("list_entries", *[Fault.THROTTLED] * 30)
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


class TestEventual:
    """The exact counter is left to the stream until its records are surely through, or an operator forces it."""

    async def prepare(self, store: WatchedStore) -> tuple[Engine, CounterKey, Stream]:
        """Make three entries whose stream records are not settled yet."""
        engine = make_engine(store)
        key = await make_account(engine)
        stream = Stream(store, key)
        await fill(engine, key, 3)
        stream.record()
        return engine, key, stream

    @in_virtual_time
    async def test_it_is_left_alone_before_the_stream_is_surely_through(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, key, stream = await self.prepare(store)
        await asyncio.sleep(SETTLED_S - 1)
        await engine.healer.heal(key)
        counter = store.counter(key)
        assert (counter.best_effort, counter.eventual, counter.counted_from_ms) == (3, 0, None)
        assert not engine.healer.needs_healing(counter)
        await stream.settle()
        assert store.counter(key).eventual == 3

    @in_virtual_time
    async def test_it_is_set_when_the_stream_lost_records(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, key, stream = await self.prepare(store)
        stream.pending.clear()
        await asyncio.sleep(SETTLED_S)
        assert engine.healer.needs_healing(store.counter(key))
        await engine.healer.heal(key)
        assert (store.counter(key).eventual, store.counter(key).drift) == (3, 0)

    @in_virtual_time
    async def test_verified_counter_needs_another_healing_once_the_stream_is_surely_through(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, key, _ = await self.prepare(store)
        await asyncio.sleep(QUIET_S)
        await engine.healer.heal(key)
        assert not engine.healer.needs_healing(store.counter(key))
        await asyncio.sleep(SETTLED_S)
        assert engine.healer.needs_healing(store.counter(key))

    @pytest.mark.parametrize("forced", [True, False])
    def test_late_records_are_not_counted_twice_and_new_ones_are_counted(self, *, forced: bool) -> None:
        @in_virtual_time
        async def history() -> None:
            store = WatchedStore(LATENCY_S)
            engine, key, stream = await self.prepare(store)
            await asyncio.sleep(QUIET_S if forced else SETTLED_S)
            await engine.healer.heal(key, reset_eventual=forced)
            assert store.counter(key).eventual == 3
            await fill(engine, key, 2)
            await stream.settle()
            assert store.counter(key).eventual == store.counter(key).best_effort == store.total(key) == 5

        history()

    @in_virtual_time
    async def test_late_records_of_deletes_are_not_counted_twice_either(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, key, stream = await self.prepare(store)
        await stream.settle()
        [created] = await fill(engine, key, 1)
        stream.record()
        await engine.entries.delete(key, created.entry.id)
        stream.record()
        await asyncio.sleep(QUIET_S)
        await engine.healer.heal(key, reset_eventual=True)
        await stream.settle()
        assert store.counter(key).eventual == store.total(key) == 3

    @in_virtual_time
    async def test_a_redelivery_across_a_reset_counts_nothing_twice(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, key, stream = await self.prepare(store)
        old = list(stream.pending)
        await asyncio.sleep(QUIET_S)
        await engine.healer.heal(key, reset_eventual=True)
        await fill(engine, key, 1)
        stream.record()
        batch = list(stream.pending)
        for delivery in (old, batch, batch, old):
            await settle_batch(store, SHARD, delivery, virtual_clock())
        assert store.counter(key).eventual == store.total(key) == 4

    @in_virtual_time
    async def test_a_delete_just_before_the_recount_that_is_never_released_is_repaired_by_the_next_reset(self) -> None:
        """The process died between delete and release, and the delete's record is newer than the fence."""
        store = WatchedStore(LATENCY_S)
        engine, key, stream = await self.prepare(store)
        await stream.settle()
        [entry, *_], _ = await store.list_entries(key, 0, 10, None)
        await asyncio.sleep(QUIET_S)
        await store.delete_entry(key, 1, entry.id)
        await engine.healer.heal(key, reset_eventual=True)
        await stream.settle()
        assert (store.counter(key).best_effort, store.counter(key).eventual, store.total(key)) == (2, 1, 2)

        await asyncio.sleep(SETTLED_S)
        assert engine.healer.needs_healing(store.counter(key))
        await engine.healer.heal(key)
        assert store.counter(key).eventual == store.counter(key).best_effort == store.total(key) == 2

    @in_virtual_time
    async def test_a_delete_settled_during_the_recount_but_missed_by_it_stays_visible(self) -> None:
        """The process died between delete and release: the counter's revision does not tell of the delete."""
        store = WatchedStore(LATENCY_S)
        engine, key, stream = await self.prepare(store)
        await over_count(store, engine, key)
        await stream.settle()
        [entry, *_], _ = await store.list_entries(key, 0, 10, None)
        await asyncio.sleep(SETTLED_S)
        healing = asyncio.create_task(engine.healer.heal(key))
        await asyncio.sleep(LATENCY_S * 1.75)
        store.latency_s = 0.0
        await store.delete_entry(key, 1, entry.id)
        await stream.settle()
        await asyncio.gather(healing, return_exceptions=True)

        await asyncio.sleep(SETTLED_S)
        counter = store.counter(key)
        assert counter.best_effort == store.total(key) or engine.healer.needs_healing(counter)

    @in_virtual_time
    async def test_force_does_not_make_a_counter_in_use_quiet(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine, key, _ = await self.prepare(store)
        with pytest.raises(CounterBusyError):
            await engine.healer.heal(key, reset_eventual=True)
        assert store.counter(key).eventual == 0


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
        (msgspec.structs.replace(drifted(), touched_at_ms=factories.NOW_MS - 14_999), False),
        (msgspec.structs.replace(drifted(), touched_at_ms=factories.NOW_MS - 15_000), True),
        (msgspec.structs.replace(drifted(healed_revision=7), touched_at_ms=factories.NOW_MS - 899_999), False),
        (msgspec.structs.replace(drifted(healed_revision=7), touched_at_ms=factories.NOW_MS - 900_000), True),
    ],
)
def test_what_needs_healing(counter: Counter, *, needed: bool) -> None:
    assert make_engine_with_clock(WatchedStore()).healer.needs_healing(counter) is needed
