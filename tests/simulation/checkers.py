"""What must hold in the store at every step: one checker for each promise."""

import math
from collections import defaultdict
from typing import NamedTuple

from counters.keys import CounterKey, Ledger
from counters.model import Change, Counter, CutHealing, Enforcement, Entry, Healing
from counters.settlement import PageChange, Settlement
from tests.simulation.coverage import Coverage
from tests.simulation.store import Violation, WatchedMemory, Watcher


class _Record(NamedTuple):
    page_id: str
    change: PageChange


def _sequence(record: _Record) -> int:
    return record.change.sequence


class LimitKept(Watcher):
    """Strict: a reserve never takes ``best_effort`` over the limit, and nothing goes up but by a reserve."""

    def changed(self, before: Counter, after: Counter, change: Change) -> None:
        if after.enforcement is not Enforcement.STRICT:
            return
        if change.admits and before.limit is not None and after.best_effort > before.limit:
            raise Violation("a reserve went over the limit", after)
        if change.delta > 0 and not change.admits:
            raise Violation("best_effort went up without asking the limit", change)


class OneSided(Watcher):
    """Strict: at every instant, the ledger's total is at most ``best_effort``.

    While there is a cut, this also holds of what was reserved after it, by itself.
    """

    def __init__(self, store: WatchedMemory) -> None:
        self._store = store

    def changed(self, before: Counter, after: Counter, change: Change) -> None:
        del before, change
        self._check(after.key)

    def healed(self, before: Counter, after: Counter, healing: Healing | CutHealing) -> None:
        self._check(after.key)
        if isinstance(healing, CutHealing) and after.best_effort > before.best_effort:
            raise Violation("a healing in use raised best_effort although nothing was missing", healing)

    def inserted(self, ledger: Ledger, entry: Entry) -> None:
        del entry
        self._check(ledger.counter)

    def _check(self, key: CounterKey) -> None:
        if not self._store.exists(key):
            return
        counter, total = self._store.counter(key), self._store.total(key)
        if counter.enforcement is Enforcement.STRICT and total > counter.best_effort:
            raise Violation("the ledger's total is above best_effort", f"{total} > {counter.best_effort}")
        if counter.enforcement is Enforcement.STRICT and counter.cut is not None:
            revision, since = counter.cut.revision, counter.best_effort - counter.cut.amount
            later = sum(entry.amount for entry in self._store.ledger(key).values() if entry.revision > revision)
            if later > since:
                raise Violation("more came after a cut than was reserved after it", f"{later} > {since}")


class ExactlyOnce(Watcher):
    """``eventual`` is the sum of the records it has counted, and it counts each of them once.

    A census that ended has counted each page as its last settled record left it, unless records were lost meanwhile.
    After that, records of pages that were empty when it asked count nothing.

    Attributes:
        lost: Sequence numbers of records whose batch was lost for good.
    """

    def __init__(self, coverage: Coverage) -> None:
        self._coverage = coverage
        self._records: dict[CounterKey, dict[str, dict[int, _Record]]] = defaultdict(lambda: defaultdict(dict))
        self._settled: dict[CounterKey, set[int]] = defaultdict(set)
        self._pages: dict[CounterKey, dict[str, _Record]] = defaultdict(dict)
        self._expected: dict[CounterKey, int] = defaultdict(int)
        self._answers: dict[tuple[CounterKey, int], dict[str, int]] = defaultdict(dict)
        self._asked: dict[CounterKey, int] = {}
        self._lost_before: dict[CounterKey, set[int]] = defaultdict(set)
        self._made_up: dict[CounterKey, set[int]] = defaultdict(set)
        self.lost: set[int] = set()

    def recorded(self, shard: str, page_id: str, change: PageChange) -> None:
        """Note a record of the stream."""
        self._records[change.key][shard][change.sequence] = _Record(page_id, change)
        if change.asked_after > change.asked_before:
            self._answers[change.key, change.asked_after][page_id] = change.sequence

    def settled(self, after: Counter, settlement: Settlement) -> None:
        key = after.key
        part = [
            record
            for sequence, record in sorted(self._records[key][settlement.shard].items())
            if settlement.first <= sequence <= settlement.last
        ]
        sequences = {record.change.sequence for record in part}
        if self._settled[key] & sequences:
            raise Violation("a record was counted twice", settlement)
        self._settled[key] |= sequences
        for record in part:
            # A batch that was given up as lost may be settled late, all the same.
            self._pages[key][record.page_id] = max(record, self._pages[key].get(record.page_id, record), key=_sequence)
            if self._is_in_sum(key, after.last_census, record):
                self._expected[key] += record.change.after - record.change.before
            elif record.change.after != record.change.before:
                self._coverage.count("record of a page that was empty at the census")
        if after.eventual != self._expected[key]:
            raise Violation("eventual is not the sum of its records", f"{after}, not {self._expected[key]}")

    def _is_in_sum(self, key: CounterKey, line: int | None, record: _Record) -> bool:
        """Tell whether a page was made after the census of a line, or the record is its answer or a later one."""
        if line is None or record.change.revision > line:
            return True
        return record.change.sequence >= self._answers[key, line].get(record.page_id, math.inf)

    def inserted(self, ledger: Ledger, entry: Entry) -> None:
        line = self._asked.get(ledger.counter, -1)
        if entry.revision <= line:
            raise Violation("a page came after the census that should have asked it", f"{entry}, line {line}")

    def changed_census(self, before: Counter, after: Counter) -> None:
        key = after.key
        if after.census is not None:
            if after.census.asked_at_ms is not None:
                self._asked[key] = after.census.line
            if before.census is None or before.census.line != after.census.line:
                self._lost_before[key] = set(self.lost)
            return
        if not self._lost_of(key) - self._lost_before[key]:
            total = sum(
                record.change.after
                for record in self._pages[key].values()
                if self._is_in_sum(key, after.last_census, record)
            )
            if after.eventual != total:
                raise Violation("a census missed a page, or counted it twice", f"{after.eventual}, not {total}")
        self._made_up[key] |= self._lost_before[key]
        self._expected[key] = after.eventual

    def _lost_of(self, key: CounterKey) -> set[int]:
        records = {sequence for shard in self._records[key].values() for sequence in shard}
        return records & self.lost

    def check_end(self, key: CounterKey) -> None:
        """Check that every record was counted, but those of lost batches."""
        records = {sequence for shard in self._records[key].values() for sequence in shard}
        uncounted = records - self._settled[key] - self.lost
        if uncounted:
            raise Violation("a record was never counted", sorted(uncounted))

    def has_lost(self, key: CounterKey) -> bool:
        """Tell whether some of a counter's records were lost and no census has made up for it."""
        return bool(self._lost_of(key) - self._made_up[key])
