"""What must hold in the store at every step: one checker for each promise."""

from collections import defaultdict

from counters.keys import CounterKey, Ledger
from counters.model import Change, Counter, CutHealing, Enforcement, Entry, Healing
from counters.settlement import EntryChange, Settlement
from tests.simulation.store import Violation, WatchedMemory, Watcher


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

    A reset may be off by what was under way just then; the liveness phase finds out whether that is repaired.

    Attributes:
        lost: Sequence numbers of records whose batch was lost for good.
    """

    def __init__(self) -> None:
        self._records: dict[CounterKey, dict[str, list[EntryChange]]] = defaultdict(lambda: defaultdict(list))
        self._counted: dict[CounterKey, dict[int, int]] = defaultdict(dict)
        self.lost: set[int] = set()
        self._offsets: dict[CounterKey, int] = defaultdict(int)

    def recorded(self, shard: str, record: EntryChange) -> None:
        """Note a record of the stream."""
        self._records[record.key][shard].append(record)

    def settled(self, after: Counter, settlement: Settlement) -> None:
        counted = self._counted[after.key]
        fence_ms = after.counted_from_ms or 0
        part = {
            record.sequence: record.delta
            for record in self._records[after.key][settlement.shard]
            if settlement.first <= record.sequence <= settlement.last and record.at_ms >= fence_ms
        }
        if counted.keys() & part.keys():
            raise Violation("a record was counted twice", settlement)
        counted.update(part)
        self._check(after, settlement)

    def healed(self, before: Counter, after: Counter, healing: Healing | CutHealing) -> None:
        if isinstance(healing, CutHealing) or healing.counted_from_ms is None:
            return
        counted = self._counted[after.key]
        under_way: list[int] = []
        for records in self._records[after.key].values():
            for record in records:
                if record.at_ms < healing.counted_from_ms:
                    counted[record.sequence] = record.delta
                elif record.sequence not in counted:
                    under_way.append(record.delta)
        # A delete touches the counter only when it is released, and a hybrid create when it is counted. One that is
        # seen by the recount, and whose record comes after the fence, is counted by both, until the next reset.
        offset = after.eventual - sum(counted.values())
        most = sum(max(0, delta) for delta in under_way) if before.enforcement is not Enforcement.STRICT else 0
        if not sum(min(0, delta) for delta in under_way) <= offset <= most:
            raise Violation("a reset of eventual missed a record, or counted it twice", f"{offset:+}: {healing}")
        self._offsets[after.key] = offset

    def _check(self, after: Counter, step: object) -> None:
        expected = sum(self._counted[after.key].values()) + self._offsets[after.key]
        if after.eventual != expected:
            raise Violation("eventual is not the sum of its records", f"{after.eventual}, not {expected}: {step}")

    def check_end(self, key: CounterKey) -> None:
        """Check that every record was counted, but those of lost batches."""
        records = {record.sequence for shard in self._records[key].values() for record in shard}
        uncounted = records - self._counted[key].keys() - self.lost
        if uncounted:
            raise Violation("a record was never counted", sorted(uncounted))

    def has_lost(self, key: CounterKey) -> bool:
        """Tell whether some of a counter's records were lost and no recount has made up for it."""
        records = {record.sequence for shard in self._records[key].values() for record in shard}
        return bool((records & self.lost) - self._counted[key].keys())
