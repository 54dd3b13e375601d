"""Settlement: add a stream batch's deltas to ``eventual``, exactly once (``docs/design/engine.md``, section 6).

Standard library only: this module runs in the Lambda. The rules are here, the stream's format is in
``stream_lambda/records.py``, and the database is behind ``SettlementStore``.

Why the sum is exact. The stream delivers a shard's records in order, at least once, cut into batches anyhow. Every
counter keeps, for each shard, a mark: the sequence number of the last record that it has counted. One conditional
write adds the delta and moves the mark together, so a record is counted if and only if the mark has passed it. A
redelivered record is at or below the mark and is skipped, whoever redelivers it, whenever, and however it is cut.

This needs the order: a mapping that reads one shard in parallel lanes (a parallelization factor above 1) would move
the mark past records that were not counted yet.

What the stream lost, a *census* makes up for: each page of the ledger is asked, which changes it, and its record in the
stream tells what it holds. While one is under way, a second sum is kept by the rules of ``PageChange``. They need the
order of each page's records, which DynamoDB promises, and neither an order between pages nor a time.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from counters.errors import NotAppliedError

if TYPE_CHECKING:
    from counters.keys import CounterKey

MARK_LIFETIME_MS: Final = 30 * 60 * 60 * 1000
"""How long the mark of a silent shard is kept. The stream keeps records for 24 hours, and the event source
mapping gives them up an hour earlier, so whatever a mark has to stop is surely gone; longer would only fill the item.
"""

ATTEMPTS_MAX: Final = 5
"""Writes tried for one counter. Only another delivery of the same shard at the same moment can make one fail."""

CONCURRENCY_MAX: Final = 8
"""Counters settled at the same time: hides the round trips, yet stays within one client's pool of 10 connections."""

SEQUENCE_DIGITS_MAX: Final = 64
"""Digits of the longest sequence number that can be kept. AWS documents up to 40; LocalStack has 56 where a table's
stream is one of Kinesis."""

KNOWN_MAX: Final = 10_000
"""Counters whose censuses are remembered from batch to batch: some 2 MB."""

PRUNED_MAX: Final = 25
"""Marks dropped in one write: keeps its expressions far below DynamoDB's 4 KB."""


class Censuses(NamedTuple):
    """The censuses of a counter: by their lines it is told what a record counts.

    Attributes:
        line: The line of the one under way; None when there is none.
        last: The line of the last one that ended; None before the first.
    """

    line: int | None = None
    last: int | None = None


class PageChange(NamedTuple):
    """What one stream record says of a page of a ledger.

    Attributes:
        key: The counter that the ledger belongs to.
        sequence: The record's sequence number, unique and rising within its shard.
        before: The sum of the page's entries before the change.
        after: Their sum after it.
        revision: The counter's revision by which the page was reserved.
        asked_before: The line of the last census that had asked the page before the change; 0 when none had.
        asked_after: The same after it.
    """

    key: "CounterKey"
    sequence: int
    before: int
    after: int
    revision: int = 0
    asked_before: int = 0
    asked_after: int = 0

    @property
    def delta(self) -> int:
        """What the change adds to the ledger; negative when it takes away."""
        return self.after - self.before

    def delta_after(self, last: int | None) -> int:
        """Return what the change adds to ``eventual`` after the last census.

        A page that this census would have asked and did not was empty by then. Its changes are in no sum.
        """
        is_gone = last is not None and self.revision <= last and self.asked_before < last
        return 0 if is_gone else self.delta

    def answers(self, line: int) -> bool:
        """Tell whether the change is a page's answer to the census of this line."""
        return self.revision <= line and self.asked_before < line <= self.asked_after

    def delta_of_census(self, line: int) -> int:
        """Return what the change adds to the total of the census of this line.

        A page past the line was made after the census began, so each of its changes counts. A page up to the line
        counts as a whole with its answer, by its changes after that, and not before.
        """
        if self.answers(line):
            return self.after
        return self.delta if self.revision > line or self.asked_before >= line else 0


class Mark(NamedTuple):
    """The last stream record of a shard that a counter has counted.

    Attributes:
        sequence: Its sequence number.
        at_ms: When it was settled, milliseconds since the epoch.
    """

    sequence: int
    at_ms: int


class Settlement(NamedTuple):
    """What one batch adds to one counter.

    Attributes:
        shard: The stream shard that the batch came from.
        first: Sequence number of the first record that is counted here.
        last: Sequence number of the last one; the shard's new mark.
        delta: What the records add to ``eventual``.
        at_ms: The time of settling, milliseconds since the epoch.
        censuses: The counter's censuses by which the sums were made; the write is conditional on them.
        census_delta: What the records add to the total of the census under way.
        census_answers: How many of them are answers to it.
    """

    shard: str
    first: int
    last: int
    delta: int
    at_ms: int
    censuses: Censuses = Censuses()
    census_delta: int = 0
    census_answers: int = 0


class Settled(NamedTuple):
    """The deltas were added.

    Attributes:
        marks: The marks as they were right after.
        is_answered: Whether a census is under way, and all pages that it asked have answered.
    """

    marks: Mapping[str, Mark]
    is_answered: bool = False


class Unsettled(NamedTuple):
    """Nothing was added.

    Attributes:
        marks: The marks as they were at that instant; None when the counter does not exist or is damaged.
        censuses: The counter's censuses at that instant.
        is_damaged: Whether the counter is stored so that nothing can be added to it.
    """

    marks: Mapping[str, Mark] | None
    censuses: Censuses = Censuses()
    is_damaged: bool = False


class RecordTotals(NamedTuple):
    """What became of a batch's records.

    Attributes:
        settled: Records counted now.
        delta: What they added to ``eventual``.
        skipped: Records that had been counted before.
        orphaned: Records whose counter no longer exists.
        damaged: Records whose counter is damaged. They are not settled later: the repair recounts the ledger.
    """

    settled: int = 0
    delta: int = 0
    skipped: int = 0
    orphaned: int = 0
    damaged: int = 0


class SettlementReport(NamedTuple):
    """What became of a batch.

    Attributes:
        counters: How many counters its records belong to.
        records: What became of the records.
        damaged: The counters that are damaged.
        counted: The counters whose census ended.
    """

    counters: int
    records: RecordTotals
    damaged: "Sequence[CounterKey]" = ()
    counted: "Sequence[CounterKey]" = ()


class SettlementStore(Protocol):
    """What the stream's side of the core asks of the database."""

    async def settle(self, key: "CounterKey", settlement: Settlement) -> Settled | Unsettled:
        """Add the delta to ``eventual``, count for the census under way, and move the shard's mark to ``last``.

        Refused, with the marks as they are, unless the shard has no mark or one below ``first``, and the counter's
        censuses are the ones given; refused with None when the counter does not exist; refused as damaged when one of
        these is stored so that it cannot be compared or added to.
        """

    async def end_census(self, key: "CounterKey", line: int, at_ms: int) -> bool:
        """Set ``eventual`` to what the census of this line found, at this time; return whether this did it.

        Refused unless that census is under way, and all pages that it asked have answered.
        """

    async def prune_marks(self, key: "CounterKey", shards: Sequence[str], older_than_ms: int) -> None:
        """Drop these shards' marks, if the counter exists and all of them were set before the given time."""


async def settle_batch(
    store: SettlementStore,
    shard: str,
    changes: Iterable[PageChange],
    at_ms: int,
    known: "dict[CounterKey, Censuses] | None" = None,
) -> SettlementReport:
    """Count one shard's batch. Each record counts exactly once, however often Lambda delivers the batch.

    Every counter is tried, even when another one fails: a counter that cannot be written then delays no other.

    Args:
        store: Where the counters are.
        shard: The shard that the records come from.
        changes: The batch's records.
        at_ms: The time now, milliseconds since the epoch.
        known: The censuses of counters as batches before have seen them. What this one sees is put into it. Where it
            is wrong, one write is refused.

    Raises:
        ExceptionGroup: Some counters could not be settled. Deliver the batch again: what is settled stays settled.
    """
    gate = asyncio.Semaphore(CONCURRENCY_MAX)
    counted: list[CounterKey] = []
    known = {} if known is None else known
    if len(known) > KNOWN_MAX:
        known.clear()

    async def settle(key: "CounterKey", part: dict[int, PageChange]) -> RecordTotals:
        async with gate:
            settler = _CounterSettler(store, key, shard, at_ms, known.get(key, Censuses()))
            totals = await settler.settle(part)
            known[key] = settler.censuses
            counted.extend([key] if settler.has_ended_census else [])
            return totals

    ledgers = _by_counter(changes)
    answers = await asyncio.gather(*(settle(*ledger) for ledger in ledgers.items()), return_exceptions=True)
    failures = [answer for answer in answers if isinstance(answer, BaseException)]
    if failures:
        raise BaseExceptionGroup(f"{len(failures)} of {len(ledgers)} counters were not settled", failures)
    tallies = [answer for answer in answers if isinstance(answer, RecordTotals)]
    damaged = [key for key, tally in zip(ledgers, tallies, strict=True) if tally.damaged]
    return SettlementReport(
        len(ledgers),
        RecordTotals(*(sum(column) for column in zip(RecordTotals(), *tallies, strict=True))),
        tuple(damaged),
        tuple(counted),
    )


def _by_counter(changes: Iterable[PageChange]) -> dict["CounterKey", dict[int, PageChange]]:
    """Return each counter's changes by sequence number; a record that is in the batch twice is there once."""
    ledgers: dict[CounterKey, dict[int, PageChange]] = {}
    for change in changes:
        ledgers.setdefault(change.key, {})[change.sequence] = change
    return ledgers


class _CounterSettler:
    """Settles one counter's part of a batch.

    Attributes:
        censuses: The counter's censuses as they were last seen.
        has_ended_census: Whether a census ended with this part.
    """

    def __init__(self, store: SettlementStore, key: "CounterKey", shard: str, at_ms: int, censuses: Censuses) -> None:
        self._store = store
        self._key = key
        self._shard = shard
        self._at_ms = at_ms
        self.censuses = censuses
        self.has_ended_census = False

    async def settle(self, changes: Mapping[int, PageChange]) -> RecordTotals:
        """Count these changes: one write, unless a part of it was counted before, or the censuses were not known."""
        pending = [changes[sequence] for sequence in sorted(changes)]
        for _ in range(ATTEMPTS_MAX):
            settlement = self._sum(pending)
            answer = await self._store.settle(self._key, settlement)
            skipped = len(changes) - len(pending)
            if isinstance(answer, Settled):
                if answer.is_answered:
                    await self._end_census()
                await _prune(self._store, self._key, answer.marks, self._at_ms - MARK_LIFETIME_MS)
                return RecordTotals(settled=len(pending), delta=settlement.delta, skipped=skipped)
            if answer.is_damaged:
                # Not an error: delivering the batch again would hold up the shard until somebody repairs the counter.
                return RecordTotals(skipped=skipped, damaged=len(pending))
            if answer.marks is None:
                return RecordTotals(skipped=skipped, orphaned=len(pending))
            self.censuses = answer.censuses
            # The mark may well be our own: a write whose answer was lost is sent again by the SDK and refused.
            mark = answer.marks.get(self._shard)
            pending = [change for change in pending if mark is None or change.sequence > mark.sequence]
            if not pending:
                return RecordTotals(skipped=len(changes))
        raise NotAppliedError(f"Counter {self._key} refused a settlement of {self._shard} {ATTEMPTS_MAX} times.")

    def _sum(self, changes: Sequence[PageChange]) -> Settlement:
        """Return the settlement of these changes, which are in the order of their sequence numbers.

        A delta of zero is settled too: without its mark, a later redelivery of only a part would be counted.
        """
        line, last = self.censuses
        return Settlement(
            shard=self._shard,
            first=changes[0].sequence,
            last=changes[-1].sequence,
            delta=sum(change.delta_after(last) for change in changes),
            at_ms=self._at_ms,
            censuses=self.censuses,
            census_delta=0 if line is None else sum(change.delta_of_census(line) for change in changes),
            census_answers=0 if line is None else sum(change.answers(line) for change in changes),
        )

    async def _end_census(self) -> None:
        line, _ = self.censuses
        if line is not None and await self._store.end_census(self._key, line, self._at_ms):
            self.censuses = Censuses(last=line)
            self.has_ended_census = True


async def _prune(store: SettlementStore, key: "CounterKey", marks: Mapping[str, Mark], older_than_ms: int) -> None:
    """Drop the marks of shards that are long over, so that the counter's item stays small.

    This is a write of its own because DynamoDB cannot remove "whatever is old": the names have to be known, and they
    are only once the settling write has answered. It is due once per shard that ended, so the common path stays at
    one write.
    """
    old = sorted((mark.at_ms, shard) for shard, mark in marks.items() if mark.at_ms < older_than_ms)
    if old:
        await store.prune_marks(key, [shard for _, shard in old[:PRUNED_MAX]], older_than_ms)
