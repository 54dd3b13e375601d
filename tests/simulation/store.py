"""The store of a simulation: the one in memory, and it tells watchers of every step as it happens."""

from collections.abc import Sequence

from counters.keys import CounterKey, slot_of
from counters.memory import MemoryStore
from counters.model import Change, Changed, Counter, Entry, Healing, Refused, TermsChange
from counters.settlement import Settled, Settlement, Unsettled


class Violation(AssertionError):  # noqa: N818 - an outcome of a run
    """A promise was broken.

    Attributes:
        rule: Which one.
    """

    def __init__(self, rule: str, details: object) -> None:
        super().__init__(f"{rule}: {details}")
        self.rule = rule


class Watcher:
    """Is told of every step that took effect, right after it; raises ``Violation`` when a promise is broken."""

    def changed(self, before: Counter, after: Counter, change: Change) -> None:
        """A flush was applied."""

    def healed(self, after: Counter, healing: Healing) -> None:
        """A healing was applied."""

    def limited(self, after: Counter) -> None:
        """A limit was set."""

    def inserted(self, key: CounterKey, slots: int, entry: Entry) -> None:
        """An entry came into the ledger."""

    def removed(self, key: CounterKey, slots: int, entry: Entry) -> None:
        """An entry went out of the ledger."""

    def settled(self, after: Counter, settlement: Settlement) -> None:
        """A part of a batch was settled."""


class WatchedMemory(MemoryStore):
    """A store in memory with watchers.

    Attributes:
        watchers: Who is told.
    """

    def __init__(self) -> None:
        super().__init__()
        self.watchers: list[Watcher] = []
        self._totals: dict[CounterKey, int] = {}

    def counter(self, key: CounterKey) -> Counter:
        """Return the counter as it is, outside any call."""
        return self._counters[key]

    def total(self, key: CounterKey) -> int:
        """Return the truth: the sum of the ledger."""
        return self._totals.get(key, 0)

    def find(self, key: CounterKey, entry_id: str) -> Entry | None:
        """Return an entry, outside any call."""
        return self._slot(key, self._counters[key].slots, entry_id).get(entry_id)

    async def change_counter(self, key: CounterKey, change: Change) -> Changed | Refused:
        """See ``Store``."""
        before = self._counters[key]
        outcome = await super().change_counter(key, change)
        if isinstance(outcome, Changed):
            for watcher in self.watchers:
                watcher.changed(before, outcome.counter, change)
        return outcome

    async def heal_counter(self, key: CounterKey, healing: Healing) -> Changed | Refused:
        """See ``Store``."""
        outcome = await super().heal_counter(key, healing)
        if isinstance(outcome, Changed):
            for watcher in self.watchers:
                watcher.healed(outcome.counter, healing)
        return outcome

    async def set_terms(self, key: CounterKey, change: TermsChange) -> Counter | None:
        """See ``Store``."""
        counter = await super().set_terms(key, change)
        for watcher in self.watchers:
            watcher.limited(self._counters[key])
        return counter

    async def write_entries(self, key: CounterKey, slots: int, entries: Sequence[Entry]) -> list[Entry]:
        """See ``Store``."""
        new = [entry for entry in entries if entry.id not in self._slot(key, slots, entry.id)]
        unwritten = await super().write_entries(key, slots, entries)
        for entry in new:
            self._note(key, slots, entry, entry.amount)
        return unwritten

    async def insert_entry(self, key: CounterKey, slots: int, entry: Entry) -> Entry | None:
        """See ``Store``."""
        stored = await super().insert_entry(key, slots, entry)
        if stored is None:
            self._note(key, slots, entry, entry.amount)
        return stored

    async def delete_entry(self, key: CounterKey, slots: int, seen: Entry) -> bool:
        """See ``Store``."""
        is_deleted = await super().delete_entry(key, slots, seen)
        if is_deleted:
            self._note(key, slots, seen, -seen.amount)
        return is_deleted

    async def settle(self, key: CounterKey, settlement: Settlement) -> Settled | Unsettled:
        """See ``SettlementStore``."""
        answer = await super().settle(key, settlement)
        if isinstance(answer, Settled):
            for watcher in self.watchers:
                watcher.settled(self._counters[key], settlement)
        return answer

    def _note(self, key: CounterKey, slots: int, entry: Entry, delta: int) -> None:
        assert slot_of(entry.id, slots) == slot_of(entry.id, self._counters[key].slots), "written to a wrong slot"
        self._totals[key] = self._totals.get(key, 0) + delta
        for watcher in self.watchers:
            if delta > 0:
                watcher.inserted(key, slots, entry)
            else:
                watcher.removed(key, slots, entry)
