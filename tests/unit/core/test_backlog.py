"""A ledger that takes less than comes: what it refused is written in its turn, and meanwhile little more is let in."""

import asyncio
from collections.abc import Sequence
from random import Random

import pytest

from counters.engine import Engine
from counters.errors import NotAppliedError, OverloadedError
from counters.keys import PLACE_MAX, CounterKey, Ledger
from counters.lanes.pacing import Rate
from counters.model import Created, Entry, LedgerPage
from tests.support.callers import LATENCY_S, creates, outcomes_of
from tests.support.engines import DEADLINE_S, make_account, make_engine
from tests.support.stores import Fault, WatchedStore
from tests.support.virtual_time import in_virtual_time

LIMIT = 100_000


class NarrowStore(WatchedStore):
    """A store whose ledger takes so many pages a second and refuses the others.

    Attributes:
        most_apart: The most by which ``best_effort`` ever was above the ledger, as entries were written.
        at_once: The most calls for entries that were ever under way at a time.
    """

    def __init__(self, pages_per_s: float) -> None:
        super().__init__(LATENCY_S)
        self._pages_per_s = pages_per_s
        self._units = pages_per_s / 10
        self._filled_at = 0.0
        self._under_way = 0
        self.most_apart = 0
        self.at_once = 0

    async def insert_page(
        self, ledger: Ledger, entries: Sequence[Entry], emptied: LedgerPage | None = None
    ) -> LedgerPage | None:
        """See ``Store``."""
        self._under_way += 1
        self.at_once = max(self.at_once, self._under_way)
        try:
            return await self._insert_page(ledger, entries, emptied)
        finally:
            self._under_way -= 1

    async def _insert_page(
        self, ledger: Ledger, entries: Sequence[Entry], emptied: LedgerPage | None
    ) -> LedgerPage | None:
        now = asyncio.get_running_loop().time()
        # A tenth of a second's units may be saved up.
        self._units = min(self._pages_per_s / 10, self._units + (now - self._filled_at) * self._pages_per_s)
        self._filled_at = now
        if self._units < 1:
            await asyncio.sleep(self.latency_s)
            raise NotAppliedError("throttled")
        self._units -= 1
        taken = await super().insert_page(ledger, entries, emptied)
        self.most_apart = max(self.most_apart, self.counter(ledger.counter).best_effort - self.total(ledger.counter))
        return taken


async def _arrive(engine: Engine, key: CounterKey, *, per_s: int, seconds: float) -> list[tuple[float, bool]]:
    """Create at a steady rate, whatever the answers; return how long each took, and whether it succeeded."""
    loop = asyncio.get_running_loop()
    answers = []

    async def create() -> None:
        started = loop.time()
        try:
            await engine.entries.create(key, "load")
        except OverloadedError:
            answers.append((loop.time() - started, False))
        else:
            answers.append((loop.time() - started, True))

    tasks = []
    for _ in range(round(per_s * seconds)):
        tasks.append(asyncio.create_task(create()))
        await asyncio.sleep(1 / per_s)
    await asyncio.gather(*tasks)
    return answers


class TestRate:
    """How many entries a second a sender sends."""

    def test_nothing_is_held_up_before_something_was_refused_and_a_second_after_the_last_was(self) -> None:
        rate = Rate()
        assert rate.is_free(0.0)
        rate.observe(1.0, taken=25, refused=0)
        assert rate.is_free(1.0)
        rate.observe(2.0, taken=24, refused=1)
        assert not rate.is_free(3.0)
        assert rate.is_free(3.1)

    def test_it_is_what_was_taken_in_the_last_second_and_more(self) -> None:
        rate = Rate()
        for tenth in range(100):
            rate.observe(tenth / 10, taken=10, refused=10)
        assert rate.pause_s() == pytest.approx(1 / 240, rel=0.1)
        rate.observe(30.0, taken=0, refused=10)
        assert rate.pause_s() == pytest.approx(1 / 40, rel=0.1)

    def test_calls_that_are_refused_whatever_comes_hold_nobody_up(self) -> None:
        random, rate, now = Random(0), Rate(), 0.0
        for _ in range(1000):
            refused = random.random() < 0.33
            rate.observe(now, taken=0 if refused else 1, refused=1 if refused else 0)
            now += max(0.001, rate.pause_s())
        assert rate.pause_s() < 0.01


class TestBacklog:
    """What the ledger refused waits in one line."""

    @in_virtual_time
    async def test_what_is_left_of_many_batches_is_written_in_few_calls_one_at_a_time(self) -> None:
        store = NarrowStore(pages_per_s=10)
        engine = make_engine(store)
        key = await make_account(engine, limit=LIMIT)
        await engine.entries.create(key, "warm")
        store.calls.clear()
        store.at_once = 0
        first = asyncio.gather(*creates(engine.entries, key, 500))
        await asyncio.sleep(1.5 * LATENCY_S)
        assert store.at_once == 8
        await asyncio.sleep(LATENCY_S)
        store.at_once = 0
        await first
        assert store.at_once == 1
        assert store.calls["insert_page"] < 8 + 30
        assert store.total(key) == store.counter(key).best_effort == 501

    @in_virtual_time
    async def test_the_oldest_are_written_first(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine, limit=LIMIT)
        store.fail("insert_page", *[Fault.THROTTLED] * 6)
        answered: list[int] = []

        async def create(number: int) -> None:
            await engine.entries.create(key, "load")
            answered.append(number)

        await asyncio.gather(*(create(number) for number in range(100)))
        assert answered == [*range(100)]

    @in_virtual_time
    async def test_who_waits_in_it_until_the_deadline_is_told_and_its_reservation_goes_back(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine, limit=LIMIT)
        store.fail("insert_page", *[Fault.THROTTLED] * 10_000)
        created, failed = await outcomes_of(creates(engine.entries, key, 60))
        assert asyncio.get_running_loop().time() == pytest.approx(DEADLINE_S, abs=0.1)
        await engine.drain()
        assert not created
        assert {type(error) for error in failed} == {OverloadedError}
        assert store.counter(key).best_effort == store.total(key) == 0

    @in_virtual_time
    async def test_a_page_whose_answer_was_lost_is_sent_again_and_nothing_is_stored_twice(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine, limit=LIMIT)
        store.fail("insert_page", Fault.THROTTLED, Fault.ANSWER_LOST)
        created = await engine.entries.create(key, "load")
        assert isinstance(created, Created)
        assert store.calls["insert_page"] == 3
        assert store.counter(key).best_effort == store.total(key) == 1

    @in_virtual_time
    async def test_calls_that_are_not_answered_do_not_follow_each_other_at_once(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine, limit=LIMIT)
        store.fail("insert_page", *[Fault.THROTTLED] * 8, *[Fault.REQUEST_LOST] * 1000)
        waiting = asyncio.gather(*creates(engine.entries, key, 500), return_exceptions=True)
        await asyncio.sleep(0.5)
        assert 8 + 10 < store.calls["insert_page"] < 8 + 80
        await waiting
        await engine.drain()

    @in_virtual_time
    async def test_the_reservation_of_a_write_that_was_lost_in_it_stays(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine, limit=LIMIT)
        store.fail("insert_page", Fault.THROTTLED, *[Fault.REQUEST_LOST] * 100)
        with pytest.raises(OverloadedError):
            await engine.entries.create(key, "load")
        await engine.drain()
        assert store.total(key) == 0
        assert store.counter(key).best_effort == 1


class TestHoldingBack:
    """A lane lets in what the ledger takes, and turns the rest away while there is still time to try elsewhere."""

    @in_virtual_time
    async def test_it_reserves_little_more_than_the_ledger_takes(self) -> None:
        store = NarrowStore(pages_per_s=10)
        engine = make_engine(store)
        key = await make_account(engine, limit=LIMIT)
        answers = await _arrive(engine, key, per_s=1000, seconds=4.0)
        await engine.drain()
        # Half a second's worth waits, and as much may be sent and not yet refused.
        assert store.most_apart <= 10 * PLACE_MAX
        assert sum(succeeded for _, succeeded in answers) > 0.75 * 10 * PLACE_MAX * 4
        assert store.counter(key).best_effort == store.total(key)

    @in_virtual_time
    async def test_most_of_those_who_cannot_be_served_are_told_at_once(self) -> None:
        engine = make_engine(NarrowStore(pages_per_s=10))
        key = await make_account(engine, limit=LIMIT)
        answers = await _arrive(engine, key, per_s=1000, seconds=4.0)
        await engine.drain()
        refused_s = sorted(took_s for took_s, succeeded in answers if not succeeded)
        served_s = sorted(took_s for took_s, succeeded in answers if succeeded)
        assert refused_s[len(refused_s) // 2] < 0.01
        assert served_s[-1] < 3.0

    @in_virtual_time
    async def test_nobody_is_turned_away_for_a_moment_of_throttling(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine, limit=LIMIT)
        store.fail("insert_page", *[Fault.THROTTLED] * 10)
        early = asyncio.gather(*creates(engine.entries, key, 100))
        await asyncio.sleep(3.5 * LATENCY_S)
        late = asyncio.gather(*creates(engine.entries, key, 100))
        await asyncio.sleep(LATENCY_S)
        await asyncio.gather(early, late, *creates(engine.entries, key, 100))
        assert store.total(key) == store.counter(key).best_effort == 300

    @in_virtual_time
    async def test_a_moment_of_throttling_on_a_new_lane_is_soon_made_up_for(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine, limit=LIMIT)
        store.fail("insert_page", *[Fault.THROTTLED] * 8)
        await asyncio.gather(*creates(engine.entries, key, 100))
        assert asyncio.get_running_loop().time() < 0.3

    @in_virtual_time
    async def test_a_delete_does_not_wait_for_the_backlog(self) -> None:
        store = WatchedStore(LATENCY_S)
        engine = make_engine(store)
        key = await make_account(engine, limit=LIMIT)
        old = await engine.entries.create(key, "old")
        store.fail("insert_page", *[Fault.THROTTLED] * 10_000)
        held = asyncio.gather(*creates(engine.entries, key, 40), return_exceptions=True)
        await asyncio.sleep(0.5)
        started = asyncio.get_running_loop().time()
        await engine.entries.delete(key, old.entry.id)
        assert asyncio.get_running_loop().time() - started < 0.1
        await held
        await engine.drain()

    @in_virtual_time
    async def test_processes_that_come_later_get_their_share_of_the_ledger(self) -> None:
        store = NarrowStore(pages_per_s=10)
        first, *later = [make_engine(store, seed=seed) for seed in range(5)]
        key = await make_account(first, limit=LIMIT)
        load = asyncio.create_task(_arrive(first, key, per_s=1000, seconds=6.0))
        await asyncio.sleep(2.0)
        await asyncio.gather(*(_arrive(engine, key, per_s=300, seconds=2.0) for engine in later))
        answers = await asyncio.gather(*(_arrive(engine, key, per_s=300, seconds=2.0) for engine in later))
        await load
        await asyncio.gather(*(engine.drain() for engine in (first, *later)))
        assert min(sum(succeeded for _, succeeded in one) for one in answers) > 0.5 * 10 * PLACE_MAX / 5 * 2
