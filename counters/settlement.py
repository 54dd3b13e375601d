"""Settlement: add a stream batch's deltas to ``eventual``, exactly once (``docs/design/engine.md``, section 6).

Standard library only: this module runs in the Lambda. The rules are here, the stream's format is in
``stream_lambda/records.py``, and the database is behind ``SettlementStore``.

Why the sum is exact. The stream delivers a shard's records in order, at least once, cut into batches anyhow. Every
counter keeps, for each shard, a mark: the sequence number of the last record that it has counted. One conditional
write adds the delta and moves the mark together, so a record is counted if and only if the mark has passed it. A
redelivered record is at or below the mark and is skipped, whoever redelivers it, whenever, and however it is cut.

This needs the order: a mapping that reads one shard in parallel lanes (a parallelization factor above 1) would move
the mark past records that were not counted yet.
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

PRUNED_MAX: Final = 25
"""Marks dropped in one write: keeps its expressions far below DynamoDB's 4 KB."""


class EntryChange(NamedTuple):
    """What one stream record did to a ledger.

    Attributes:
        key: The counter that the ledger belongs to.
        sequence: The record's sequence number, unique and rising within its shard.
        delta: The entry's amount; negative when it was removed.
        at_ms: When it happened, milliseconds since the epoch, to the second.
    """

    key: "CounterKey"
    sequence: int
    delta: int
    at_ms: int


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
        delta: Sum of the records' amounts: inserted less removed.
        oldest_ms: When the oldest of the records happened, milliseconds since the epoch.
        at_ms: The time of settling, milliseconds since the epoch.
    """

    shard: str
    first: int
    last: int
    delta: int
    oldest_ms: int
    at_ms: int


class Settled(NamedTuple):
    """The delta was added; the marks are as they were right after."""

    marks: Mapping[str, Mark]


class Unsettled(NamedTuple):
    """Nothing was added.

    Attributes:
        marks: The marks as they were at that instant; None when the counter does not exist or is damaged.
        counted_from_ms: Records older than this are in ``eventual`` already, by a recount; None when there was none.
        is_damaged: Whether the counter is stored so that nothing can be added to it.
    """

    marks: Mapping[str, Mark] | None
    counted_from_ms: int | None = None
    is_damaged: bool = False


class RecordTotals(NamedTuple):
    """What became of a batch's records.

    Attributes:
        settled: Records counted now.
        delta: Sum of their amounts: inserted less removed.
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
    """

    counters: int
    records: RecordTotals
    damaged: "Sequence[CounterKey]" = ()


class SettlementStore(Protocol):
    """What the stream's side of the core asks of the database."""

    async def settle(self, key: "CounterKey", settlement: Settlement) -> Settled | Unsettled:
        """Add the delta to ``eventual`` and move the shard's mark to ``last``.

        Refused, with the marks as they are, unless the shard has no mark or one below ``first``, and the counter has
        no ``counted_from`` or one not past ``oldest_ms``; refused with None when the counter does not exist; refused as
        damaged when one of these is stored so that it cannot be compared or added to.
        """

    async def prune_marks(self, key: "CounterKey", shards: Sequence[str], older_than_ms: int) -> None:
        """Drop these shards' marks, if the counter exists and all of them were set before the given time."""


async def settle_batch(
    store: SettlementStore, shard: str, changes: Iterable[EntryChange], at_ms: int
) -> SettlementReport:
    """Count one shard's batch. Each record counts exactly once, however often Lambda delivers the batch.

    Every counter is tried, even when another one fails: a counter that cannot be written then delays no other.

    Args:
        store: Where the counters are.
        shard: The shard that the records come from.
        changes: The batch's records.
        at_ms: The time now, milliseconds since the epoch.

    Raises:
        ExceptionGroup: Some counters could not be settled. Deliver the batch again: what is settled stays settled.
    """
    gate = asyncio.Semaphore(CONCURRENCY_MAX)

    async def settle(key: "CounterKey", part: dict[int, EntryChange]) -> RecordTotals:
        async with gate:
            return await _settle_counter(store, key, shard, part, at_ms)

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
    )


def _by_counter(changes: Iterable[EntryChange]) -> dict["CounterKey", dict[int, EntryChange]]:
    """Return each counter's changes by sequence number; a record that is in the batch twice is there once."""
    ledgers: dict[CounterKey, dict[int, EntryChange]] = {}
    for change in changes:
        ledgers.setdefault(change.key, {})[change.sequence] = change
    return ledgers


async def _settle_counter(
    store: SettlementStore, key: "CounterKey", shard: str, changes: Mapping[int, EntryChange], at_ms: int
) -> RecordTotals:
    """Count one counter's part of a batch: one write, unless a part of it was counted before."""
    pending = [changes[sequence] for sequence in sorted(changes)]
    for _ in range(ATTEMPTS_MAX):
        settlement = _sum(shard, pending, at_ms)
        answer = await store.settle(key, settlement)
        skipped = len(changes) - len(pending)
        if isinstance(answer, Settled):
            await _prune(store, key, answer.marks, at_ms - MARK_LIFETIME_MS)
            return RecordTotals(settled=len(pending), delta=settlement.delta, skipped=skipped)
        if answer.is_damaged:
            # Not an error: delivering the batch again would hold up the shard until somebody repairs the counter.
            return RecordTotals(skipped=skipped, damaged=len(pending))
        if answer.marks is None:
            return RecordTotals(skipped=skipped, orphaned=len(pending))
        pending = [change for change in pending if not _is_counted(change, shard, answer)]
        if not pending:
            return RecordTotals(skipped=len(changes))
    raise NotAppliedError(f"Counter {key} refused a settlement of shard {shard} {ATTEMPTS_MAX} times.")


def _sum(shard: str, changes: Sequence[EntryChange], at_ms: int) -> Settlement:
    """Return the settlement of these changes, which are in the order of their sequence numbers.

    A delta of zero is settled too: without its mark, a later redelivery of only a part would be counted.
    """
    return Settlement(
        shard=shard,
        first=changes[0].sequence,
        last=changes[-1].sequence,
        delta=sum(change.delta for change in changes),
        oldest_ms=min(change.at_ms for change in changes),
        at_ms=at_ms,
    )


def _is_counted(change: EntryChange, shard: str, counter: Unsettled) -> bool:
    """Tell whether a change is in ``eventual`` already: settled before, or found by a recount."""
    # The mark may well be our own: a write whose answer was lost is sent again by the SDK and refused.
    mark = (counter.marks or {}).get(shard)
    settled = mark is not None and change.sequence <= mark.sequence
    recounted = counter.counted_from_ms is not None and change.at_ms < counter.counted_from_ms
    return settled or recounted


async def _prune(store: SettlementStore, key: "CounterKey", marks: Mapping[str, Mark], older_than_ms: int) -> None:
    """Drop the marks of shards that are long over, so that the counter's item stays small.

    This is a write of its own because DynamoDB cannot remove "whatever is old": the names have to be known, and they
    are only once the settling write has answered. It is due once per shard that ended, so the common path stays at
    one write.
    """
    old = sorted((mark.at_ms, shard) for shard, mark in marks.items() if mark.at_ms < older_than_ms)
    if old:
        await store.prune_marks(key, [shard for _, shard in old[:PRUNED_MAX]], older_than_ms)
