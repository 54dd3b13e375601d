"""What callers were told, and whether it is true: kept apart from the callers themselves."""

import msgspec

from counters.keys import CounterKey, Ledger
from counters.model import Created, Entry
from tests.simulation.deaths import DeletedStaysDeleted
from tests.simulation.loop import SimulatedLoop
from tests.simulation.store import Violation, WatchedMemory, Watcher


class Fate(msgspec.Struct):
    """What is known of one entry: of the latest one, when its id is used again.

    Attributes:
        pending: Creates under way.
        doubtful: Creates whose outcome no caller knows; they may take effect later.
        is_acknowledged: A create was answered as done.
        is_refused: A create was refused.
        is_delete_asked: A delete was started.
        deletes: How many callers started one.
        deleting: Deletes that some process still works at, whether their callers wait or not.
        is_gone: A delete was answered as done.
    """

    pending: int = 0
    doubtful: int = 0
    is_acknowledged: bool = False
    is_refused: bool = False
    is_delete_asked: bool = False
    deletes: int = 0
    deleting: int = 0
    is_gone: bool = False

    @property
    def may_appear(self) -> bool:
        """Whether some create may still store it."""
        return self.pending + self.doubtful > 0

    @property
    def may_be_reused(self) -> bool:
        """Whether a caller may use the id again: its delete was answered, and nobody works at anything under it."""
        return self.is_gone and not self.pending and not self.deleting


class Oracle(Watcher):
    """Knows what was promised.

    Attributes:
        fates: By counter and entry id.
    """

    def __init__(self, loop: SimulatedLoop, store: WatchedMemory, deaths: DeletedStaysDeleted) -> None:
        self._loop = loop
        self._store = store
        self._deaths = deaths
        self.fates: dict[tuple[CounterKey, str], Fate] = {}
        self._swept_until: dict[CounterKey, float] = {}

    def fate(self, key: CounterKey, entry_id: str) -> Fate:
        """Return what is known of an entry."""
        return self.fates.setdefault((key, entry_id), Fate())

    def alive(self, key: CounterKey) -> list[str]:
        """Return the entries that a caller can count on: acknowledged, and no delete asked for."""
        return [
            entry_id
            for (owner, entry_id), fate in self.fates.items()
            if owner == key and fate.is_acknowledged and not fate.is_delete_asked and not self._deaths.is_doomed(key)
        ]

    def doomed(self, key: CounterKey) -> list[str]:
        """Return the entries that somebody deletes or deleted."""
        return [entry_id for (owner, entry_id), fate in self.fates.items() if owner == key and fate.deletes]

    def pending(self, key: CounterKey) -> bool:
        """Tell whether a create is under way."""
        return any(owner == key and fate.pending for (owner, _), fate in self.fates.items())

    def reusable(self, key: CounterKey) -> list[str]:
        """Return the ids that a caller may use again."""
        return [entry_id for (owner, entry_id), fate in self.fates.items() if owner == key and fate.may_be_reused]

    def reuse(self, key: CounterKey, entry_id: str) -> None:
        """Let an id begin a new life; what the old one has in doubt may still come."""
        self.fates[key, entry_id] = Fate(doubtful=self.fate(key, entry_id).doubtful)

    def is_doomed(self, key: CounterKey, fate: Fate) -> bool:
        """Tell whether somebody asked for an entry to be deleted, or for its account."""
        return fate.is_delete_asked or self._deaths.is_doomed(key)

    def created(self, key: CounterKey, created: Created) -> None:
        """A create was answered as done."""
        fate = self.fate(key, created.entry.id)
        fate.is_acknowledged = True
        if self.is_doomed(key, fate):
            return
        stored = self._store.find(key, created.entry.id)
        if stored is None:
            raise Violation("an acknowledged create is not in the ledger", created.entry.id)
        if (stored.amount, stored.created_at_ms) != (created.entry.amount, created.entry.created_at_ms):
            raise Violation("a create was answered with another entry than the stored one", f"{created}, {stored}")

    def refused(self, key: CounterKey, entry_id: str, *, is_repeat: bool) -> None:
        """A create was refused, which was a repeat of one that had been answered as done, perhaps."""
        fate = self.fate(key, entry_id)
        fate.is_refused = True
        if is_repeat and not self.is_doomed(key, fate):
            raise Violation("a repeated create was refused although its entry is there", entry_id)
        if not fate.is_acknowledged and not fate.may_appear and self._store.find(key, entry_id) is not None:
            raise Violation("a refused create is in the ledger", entry_id)

    def deleted(self, key: CounterKey, entry_id: str) -> None:
        """A delete was answered as done."""
        fate = self.fate(key, entry_id)
        fate.is_gone = True
        if not fate.may_appear and self._store.find(key, entry_id) is not None and self._store.has(key):
            raise Violation("an acknowledged delete left the entry in the ledger", entry_id)

    def expected(self, key: CounterKey, entry_id: str) -> Fate | None:
        """Return the entry's present life, which a request from now on finds unless somebody ends it."""
        fate = self.fate(key, entry_id)
        return fate if fate.is_acknowledged else None

    def not_found(self, key: CounterKey, entry_id: str, expected: Fate | None) -> None:
        """An entry was said not to exist, to somebody who does not delete it and asked when that life was expected."""
        if expected is not None and not self.is_doomed(key, expected):
            raise Violation("an acknowledged entry was not found", entry_id)

    def not_found_by_deleter(self, key: CounterKey, entry_id: str, *, in_doubt: bool) -> None:
        """An entry was said not to exist, to a deleter who may have deleted it by an earlier try."""
        fate = self.fate(key, entry_id)
        is_only = fate.deletes == 1 and not in_doubt and key not in self._swept_until
        if fate.is_acknowledged and is_only and not self._deaths.is_doomed(key):
            raise Violation("an acknowledged entry was not found by its only deleter", entry_id)
        self.deleted(key, entry_id)

    def asked_to_delete(self, key: CounterKey, entry_id: str) -> None:
        """A delete is about to start."""
        fate = self.fate(key, entry_id)
        fate.is_delete_asked = True
        fate.deletes += 1

    def sweeping(self, key: CounterKey, for_s: float) -> None:
        """A delete of everything is under way, and may be for so long."""
        self._swept_until[key] = max(self._swept_until.get(key, 0.0), self._loop.time() + for_s)

    def inserted(self, ledger: Ledger, entry: Entry) -> None:
        fate = self.fates.get((ledger.counter, entry.id))
        if fate is None or fate.may_appear:
            return
        if fate.is_gone:
            raise Violation("an acknowledged delete came back", entry.id)
        if fate.is_refused and not fate.is_acknowledged:
            raise Violation("a refused create appeared", entry.id)

    def removed(self, ledger: Ledger, entry: Entry) -> None:
        fate = self.fate(ledger.counter, entry.id)
        if self.is_doomed(ledger.counter, fate):
            return
        if self._loop.time() > self._swept_until.get(ledger.counter, -1.0):
            raise Violation("an entry was deleted, and nobody had asked for it", entry.id)
        fate.is_delete_asked = True
