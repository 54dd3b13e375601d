"""Settlement counts each stream record exactly once (``docs/design/engine.md``, section 6)."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from counters.errors import NotAppliedError, OutcomeUnknownError
from counters.keys import CounterKey
from counters.model import Census, Counter
from counters.settlement import (
    ATTEMPTS_MAX,
    CONCURRENCY_MAX,
    KNOWN_MAX,
    MARK_LIFETIME_MS,
    PRUNED_MAX,
    Censuses,
    Mark,
    PageChange,
    RecordTotals,
    Settled,
    Settlement,
    SettlementReport,
    Unsettled,
    settle_batch,
)
from counters.stores.memory import MemoryStore
from tests.support import factories
from tests.support.factories import NOW_MS, page_change

SHARD = "1414576573621-f55eea83"


class WatchedSettlementStore(MemoryStore):
    """A store in memory that takes time, counts its calls, and fails for chosen counters."""

    def __init__(self) -> None:
        super().__init__()
        self.settlements: list[Settlement] = []
        self.prunings: list[list[str]] = []
        self.broken: set[CounterKey] = set()
        self.calls_now = 0
        self.calls_at_once_max = 0

    async def settle(self, key: CounterKey, settlement: Settlement) -> Settled | Unsettled:
        """See ``SettlementStore``."""
        self.settlements.append(settlement)
        self.calls_now += 1
        self.calls_at_once_max = max(self.calls_at_once_max, self.calls_now)
        await asyncio.sleep(0)
        self.calls_now -= 1
        if key in self.broken:
            raise OutcomeUnknownError("time-out")
        return await super().settle(key, settlement)

    async def prune_marks(self, key: CounterKey, shards: Sequence[str], older_than_ms: int) -> None:
        """See ``SettlementStore``."""
        self.prunings.append(list(shards))
        await super().prune_marks(key, shards, older_than_ms)

    def add_counter(
        self,
        marks: dict[str, Mark] | None = None,
        *,
        eventual: int = 0,
        census: Census | None = None,
        last_census: int | None = None,
    ) -> CounterKey:
        """Store a new counter with these marks and censuses and return its key."""
        counter = msgspec.structs.replace(
            factories.counter(), eventual=eventual, census=census, last_census=last_census
        )
        self._counters[counter.key] = counter
        self._marks[counter.key] = marks or {}
        return counter.key

    def counter(self, key: CounterKey) -> Counter:
        """Return the counter as it is."""
        return self._counters[key]

    def marks(self, key: CounterKey) -> dict[str, Mark]:
        """Return the counter's marks as they are."""
        return self._marks[key]


def changes(key: CounterKey, *deltas: int, start: int = 1) -> list[PageChange]:
    """Return one change for each delta, with rising sequence numbers."""
    return [page_change(key, sequence, delta) for sequence, delta in enumerate(deltas, start)]


async def test_deltas_are_summed_for_each_counter_and_written_once() -> None:
    store = WatchedSettlementStore()
    one, two = store.add_counter(), store.add_counter()
    batch = [
        page_change(one, 1, 5),
        page_change(two, 2, 7),
        page_change(one, 3, -2),
        page_change(one, 4, 1),
    ]

    tally = await settle_batch(store, SHARD, batch, NOW_MS)

    assert tally == SettlementReport(counters=2, records=RecordTotals(settled=4, delta=11))
    assert (store.counter(one).eventual, store.counter(two).eventual) == (4, 7)
    assert store.settlements == [
        Settlement(SHARD, first=1, last=4, delta=4, at_ms=NOW_MS),
        Settlement(SHARD, first=2, last=2, delta=7, at_ms=NOW_MS),
    ]
    assert store.prunings == []


async def test_settling_tells_when() -> None:
    store = WatchedSettlementStore()
    key = store.add_counter()
    await settle_batch(store, SHARD, changes(key, 1), NOW_MS)
    assert store.counter(key).settled_at_ms == NOW_MS
    assert store.marks(key) == {SHARD: Mark(1, NOW_MS)}


async def test_batch_without_ledger_changes_writes_nothing() -> None:
    store = WatchedSettlementStore()
    assert await settle_batch(store, SHARD, [], NOW_MS) == SettlementReport(0, RecordTotals())
    assert store.settlements == []


async def test_batch_delivered_twice_is_counted_once() -> None:
    store = WatchedSettlementStore()
    key = store.add_counter()
    batch = changes(key, 1, 1, -1, 4)

    await settle_batch(store, SHARD, batch, NOW_MS)
    again = await settle_batch(store, SHARD, batch, NOW_MS + 1)

    assert again == SettlementReport(1, RecordTotals(skipped=4))
    assert store.counter(key).eventual == 5


async def test_batch_that_overlaps_with_the_one_before_counts_only_what_is_new() -> None:
    store = WatchedSettlementStore()
    key = store.add_counter()
    records = changes(key, 1, 10, 100, 1000, 10000)

    await settle_batch(store, SHARD, records[:3], NOW_MS)
    tally = await settle_batch(store, SHARD, records[1:], NOW_MS)

    assert tally.records == RecordTotals(settled=2, delta=11000, skipped=2)
    assert store.counter(key).eventual == 11111


async def test_part_of_a_batch_whose_deltas_cancel_out_is_not_counted_again() -> None:
    """The first batch adds nothing, yet its records must be remembered."""
    store = WatchedSettlementStore()
    key = store.add_counter()
    records = changes(key, 3, -3)

    await settle_batch(store, SHARD, records, NOW_MS)
    await settle_batch(store, SHARD, records[1:], NOW_MS)

    assert store.counter(key).eventual == 0


async def test_record_that_is_twice_in_one_batch_is_counted_once() -> None:
    store = WatchedSettlementStore()
    key = store.add_counter()
    records = changes(key, 1, 10)
    await settle_batch(store, SHARD, [*records, *records], NOW_MS)
    assert store.counter(key).eventual == 11


async def test_batch_out_of_order_is_counted_whole_and_marked_with_its_highest_number() -> None:
    store = WatchedSettlementStore()
    key = store.add_counter()
    await settle_batch(store, SHARD, reversed(changes(key, 1, 10, 100)), NOW_MS)
    assert store.counter(key).eventual == 111
    assert store.marks(key)[SHARD].sequence == 3


async def test_late_copy_of_an_old_batch_neither_counts_nor_moves_the_mark_back() -> None:
    store = WatchedSettlementStore()
    key = store.add_counter()
    records = changes(key, 1, 10, 100, 1000)
    for batch in (records[:2], records[2:]):
        await settle_batch(store, SHARD, batch, NOW_MS)

    await settle_batch(store, SHARD, records[:2], NOW_MS)

    assert store.counter(key).eventual == 1111
    assert store.marks(key)[SHARD].sequence == 4


async def test_shards_are_counted_independently_although_their_numbers_interleave() -> None:
    store = WatchedSettlementStore()
    key = store.add_counter()
    await settle_batch(store, "a", changes(key, 1, 10, start=100), NOW_MS)
    await settle_batch(store, "b", changes(key, 100, 1000, start=1), NOW_MS)
    await settle_batch(store, "a", changes(key, 10000, start=102), NOW_MS)
    assert store.counter(key).eventual == 11111


async def test_removal_may_be_seen_before_its_insertion() -> None:
    """Another shard may be read first; the sum is right as soon as both are."""
    store = WatchedSettlementStore()
    key = store.add_counter()
    await settle_batch(store, "child", changes(key, -4), NOW_MS)
    assert store.counter(key).eventual == -4
    await settle_batch(store, "parent", changes(key, 4), NOW_MS)
    assert store.counter(key).eventual == 0


async def test_copies_of_a_batch_at_the_same_moment_are_counted_once() -> None:
    store = WatchedSettlementStore()
    key = store.add_counter()
    batch = changes(key, 1, 10, 100)
    cuts = [batch, batch[:1], batch[:2], batch, batch]

    await asyncio.gather(*(settle_batch(store, SHARD, cut, NOW_MS) for cut in cuts))

    assert store.counter(key).eventual == 111


async def test_counter_that_is_gone_is_skipped_and_holds_up_no_other() -> None:
    store = WatchedSettlementStore()
    gone, key = CounterKey("gone", "services"), store.add_counter()

    tally = await settle_batch(store, SHARD, [*changes(gone, 1, 1), *changes(key, 1, start=3)], NOW_MS)

    assert tally == SettlementReport(2, RecordTotals(settled=1, delta=1, orphaned=2))


async def test_counter_that_fails_fails_the_batch_but_no_other_counter() -> None:
    store = WatchedSettlementStore()
    key, broken = store.add_counter(), store.add_counter()
    store.broken.add(broken)
    batch = [*changes(broken, 1, 1), *changes(key, 1, start=3)]

    with pytest.raises(ExceptionGroup, match="1 of 2 counters were not settled") as caught:
        await settle_batch(store, SHARD, batch, NOW_MS)
    assert caught.group_contains(OutcomeUnknownError)
    assert store.counter(key).eventual == 1

    store.broken.clear()
    tally = await settle_batch(store, SHARD, batch, NOW_MS)
    assert tally.records == RecordTotals(settled=2, delta=2, skipped=1)
    assert (store.counter(key).eventual, store.counter(broken).eventual) == (1, 2)


async def test_write_that_was_applied_and_then_repeated_by_the_sdk_counts_once() -> None:
    class ForgetfulStore(WatchedSettlementStore):
        """Loses its first answer, so that the SDK sends the write again and gets a refusal."""

        async def settle(self, key: CounterKey, settlement: Settlement) -> Settled | Unsettled:
            await super().settle(key, settlement)
            return await super().settle(key, settlement)

    store = ForgetfulStore()
    key = store.add_counter()
    tally = await settle_batch(store, SHARD, changes(key, 1, 1), NOW_MS)
    assert tally.records == RecordTotals(skipped=2)
    assert store.counter(key).eventual == 2


async def test_store_that_refuses_for_ever_fails_the_batch_after_a_few_tries() -> None:
    class StubbornStore(WatchedSettlementStore):
        """Refuses without a mark that would explain it."""

        async def settle(self, key: CounterKey, settlement: Settlement) -> Settled | Unsettled:
            await super().settle(key, settlement)
            return Unsettled({})

    store = StubbornStore()
    with pytest.raises(ExceptionGroup) as caught:
        await settle_batch(store, SHARD, changes(store.add_counter(), 1), NOW_MS)
    assert caught.group_contains(NotAppliedError)
    assert len(store.settlements) == ATTEMPTS_MAX


async def test_counters_are_settled_at_the_same_time_but_not_too_many() -> None:
    store = WatchedSettlementStore()
    batch = [page_change(store.add_counter(), sequence, 1) for sequence in range(1, 4 * CONCURRENCY_MAX)]
    await settle_batch(store, SHARD, batch, NOW_MS)
    assert store.calls_at_once_max == CONCURRENCY_MAX


async def test_marks_of_long_silent_shards_are_dropped() -> None:
    store = WatchedSettlementStore()
    young = Mark(2, NOW_MS - MARK_LIFETIME_MS)
    key = store.add_counter({"old": Mark(9, NOW_MS - MARK_LIFETIME_MS - 1), "young": young})

    await settle_batch(store, SHARD, changes(key, 1), NOW_MS)

    assert store.marks(key) == {"young": young, SHARD: Mark(1, NOW_MS)}


async def test_old_mark_of_the_batchs_own_shard_is_renewed_and_not_dropped() -> None:
    store = WatchedSettlementStore()
    key = store.add_counter({SHARD: Mark(1, NOW_MS - 2 * MARK_LIFETIME_MS)})
    await settle_batch(store, SHARD, changes(key, 1, start=2), NOW_MS)
    assert store.marks(key) == {SHARD: Mark(2, NOW_MS)}


async def test_one_write_drops_only_so_many_marks_and_the_oldest_first() -> None:
    store = WatchedSettlementStore()
    key = store.add_counter(
        {f"old-{age}": Mark(1, NOW_MS - MARK_LIFETIME_MS - age) for age in range(1, PRUNED_MAX + 3)}
    )

    await settle_batch(store, SHARD, changes(key, 1), NOW_MS)

    assert len(store.prunings[0]) == PRUNED_MAX
    assert store.marks(key).keys() == {"old-1", "old-2", SHARD}


LINE = 1_000


def asked(key: CounterKey, sequence: int, before: int, after: int, revision: int = 1) -> PageChange:
    """Return a change of a page after it was asked."""
    return PageChange(key, sequence, before, after, revision, asked_before=LINE, asked_after=LINE)


async def test_census_counts_an_old_page_by_its_answer_and_what_changes_after_it() -> None:
    store = WatchedSettlementStore()
    key = store.add_counter(census=Census(line=LINE))
    before, answer = page_change(key, 1, 7), factories.answer(key, 2, 5, line=LINE)

    await settle_batch(store, SHARD, [before, answer, asked(key, 3, before=5, after=4)], NOW_MS)

    assert store.counter(key).census == Census(line=LINE, total=4, answers=1)
    assert store.counter(key).eventual == 6


async def test_census_counts_a_page_past_its_line_by_all_of_its_changes() -> None:
    store = WatchedSettlementStore()
    key = store.add_counter(census=Census(line=LINE))
    batch = [PageChange(key, 1, 0, 3, LINE + 1), PageChange(key, 2, 3, 2, LINE + 1), PageChange(key, 3, 0, 9, LINE)]

    await settle_batch(store, SHARD, batch, NOW_MS)

    assert store.counter(key).census == Census(line=LINE, total=2, answers=0)
    assert store.counter(key).eventual == 11


async def test_census_ends_with_the_last_answer_and_sets_the_count() -> None:
    store = WatchedSettlementStore()
    key = store.add_counter(census=Census(line=LINE, pages=2), eventual=99)
    answers = [factories.answer(key, number, 5, line=LINE) for number in (1, 2)]

    first = await settle_batch(store, SHARD, answers[:1], NOW_MS)
    assert (first.counted, store.counter(key).eventual) == ((), 99)
    last = await settle_batch(store, SHARD, answers[1:], NOW_MS)

    counter = store.counter(key)
    assert last.counted == (key,)
    assert (counter.eventual, counter.census, counter.last_census, counter.last_census_at_ms) == (
        10,
        None,
        LINE,
        NOW_MS,
    )


async def test_redelivered_answer_is_not_counted_again() -> None:
    store = WatchedSettlementStore()
    key = store.add_counter(census=Census(line=LINE, pages=2))
    answers = [factories.answer(key, number, 5, line=LINE) for number in (1, 2)]
    for batch in (answers[:1], answers[:1], answers, answers):
        await settle_batch(store, SHARD, batch, NOW_MS)
    assert store.counter(key).eventual == 10


async def test_after_a_census_what_it_did_not_ask_counts_nothing() -> None:
    """Such a page was empty when the census asked, and its records come late."""
    store = WatchedSettlementStore()
    key = store.add_counter(last_census=LINE)
    late = [PageChange(key, 1, 0, 3, LINE), PageChange(key, 2, 3, 0, LINE), PageChange(key, 3, 0, 1, LINE)]
    counted = [PageChange(key, 4, 0, 10, LINE + 1), asked(key, 5, before=20, after=120)]

    tally = await settle_batch(store, SHARD, [*late, *counted], NOW_MS)

    assert tally.records == RecordTotals(settled=5, delta=110)
    assert store.counter(key).eventual == 110


async def test_emptied_page_that_is_made_anew_counts_as_a_new_one() -> None:
    store = WatchedSettlementStore()
    key = store.add_counter(last_census=LINE)
    await settle_batch(store, SHARD, [PageChange(key, 1, 0, 1, LINE + 1, asked_before=LINE)], NOW_MS)
    assert store.counter(key).eventual == 1


async def test_census_that_began_since_the_last_batch_costs_one_refusal_and_is_remembered() -> None:
    store = WatchedSettlementStore()
    known: dict[CounterKey, Censuses] = {}
    key = store.add_counter()
    await settle_batch(store, SHARD, changes(key, 1), NOW_MS, known)
    await store.change_census(key, None, Census(line=LINE))

    await settle_batch(store, SHARD, changes(key, 1, start=2), NOW_MS, known)
    await settle_batch(store, SHARD, changes(key, 1, start=3), NOW_MS, known)

    lines = [settlement.censuses.line for settlement in store.settlements]
    assert lines == [None, None, LINE, LINE]
    assert store.counter(key).eventual == 3


async def test_what_is_remembered_of_counters_has_a_bound() -> None:
    store = WatchedSettlementStore()
    known = {CounterKey(f"account-{number}", "services"): Censuses(number) for number in range(KNOWN_MAX + 1)}
    key = store.add_counter()
    await settle_batch(store, SHARD, changes(key, 1), NOW_MS, known)
    assert known == {key: Censuses()}


async def test_census_that_ends_between_two_tries_is_seen_by_the_second() -> None:
    """The first try fails on the mark; by the second, the census has ended."""

    class CountedStore(WatchedSettlementStore):
        """Its census ends right after its first refusal."""

        async def settle(self, key: CounterKey, settlement: Settlement) -> Settled | Unsettled:
            answer = await super().settle(key, settlement)
            await self.end_census(key, LINE, NOW_MS)
            return answer

    store = CountedStore()
    key = store.add_counter({SHARD: Mark(1, NOW_MS)}, census=Census(line=LINE, pages=0, total=40))
    batch = [page_change(key, 1, 1), page_change(key, 2, 10), PageChange(key, 3, 0, 2, LINE + 1)]

    tally = await settle_batch(store, SHARD, batch, NOW_MS)

    assert tally.records == RecordTotals(settled=2, delta=2, skipped=1)
    assert store.counter(key).eventual == 42
