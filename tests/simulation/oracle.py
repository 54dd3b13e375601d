"""What callers were told, and whether it is true: kept apart from the callers themselves."""

import msgspec

from counters.errors import LimitReachedError
from counters.keys import CounterKey
from counters.model import Change, Counter, Enforcement, Entry, Healing
from counters.settlement import Settlement
from tests.simulation.faults import REQUEST_LIFE_S, TRY_TIMEOUT_S
from tests.simulation.loop import SimulatedLoop
from tests.simulation.processes import Process
from tests.simulation.store import Violation, WatchedMemory, Watcher


class Fate(msgspec.Struct):
    """What is known of one entry.

    Attributes:
        pending: Creates under way.
        doubtful: Creates whose outcome no caller knows; they may take effect later.
        is_acknowledged: A create was answered as done.
        is_refused: A create was refused.
        is_delete_asked: A delete was started.
        deletes: How many callers started one.
        is_gone: A delete was answered as done.
    """

    pending: int = 0
    doubtful: int = 0
    is_acknowledged: bool = False
    is_refused: bool = False
    is_delete_asked: bool = False
    deletes: int = 0
    is_gone: bool = False

    @property
    def may_appear(self) -> bool:
        """Whether some create may still store it."""
        return self.pending + self.doubtful > 0


class Oracle(Watcher):
    """Knows what was promised.

    Attributes:
        fates: By counter and entry id.
    """

    def __init__(self, loop: SimulatedLoop, store: WatchedMemory) -> None:
        self._loop = loop
        self._store = store
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
            if owner == key and fate.is_acknowledged and not fate.is_delete_asked
        ]

    def doomed(self, key: CounterKey) -> list[str]:
        """Return the entries that somebody deletes or deleted."""
        return [entry_id for (owner, entry_id), fate in self.fates.items() if owner == key and fate.deletes]

    def created(self, key: CounterKey, entry_id: str) -> None:
        """A create was answered as done."""
        fate = self.fate(key, entry_id)
        fate.is_acknowledged = True
        if not fate.is_delete_asked and self._store.find(key, entry_id) is None:
            raise Violation("an acknowledged create is not in the ledger", entry_id)

    def refused(self, key: CounterKey, entry_id: str) -> None:
        """A create was refused."""
        fate = self.fate(key, entry_id)
        fate.is_refused = True
        if fate.is_acknowledged and not fate.is_delete_asked:
            raise Violation("a repeated create was refused although its entry is there", entry_id)
        if not fate.is_acknowledged and not fate.may_appear and self._store.find(key, entry_id) is not None:
            raise Violation("a refused create is in the ledger", entry_id)

    def deleted(self, key: CounterKey, entry_id: str) -> None:
        """A delete was answered as done."""
        fate = self.fate(key, entry_id)
        fate.is_gone = True
        if not fate.may_appear and self._store.find(key, entry_id) is not None:
            raise Violation("an acknowledged delete left the entry in the ledger", entry_id)

    def not_found(self, key: CounterKey, entry_id: str) -> None:
        """An entry was said not to exist, to somebody who does not delete it."""
        fate = self.fate(key, entry_id)
        if fate.is_acknowledged and not fate.is_delete_asked:
            raise Violation("an acknowledged entry was not found", entry_id)

    def not_found_by_deleter(self, key: CounterKey, entry_id: str, *, in_doubt: bool) -> None:
        """An entry was said not to exist, to a deleter who may have deleted it by an earlier try."""
        fate = self.fate(key, entry_id)
        if fate.is_acknowledged and fate.deletes == 1 and not in_doubt and key not in self._swept_until:
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

    def inserted(self, key: CounterKey, slots: int, entry: Entry) -> None:
        del slots
        fate = self.fates.get((key, entry.id))
        if fate is None or fate.may_appear:
            return
        if fate.is_gone:
            raise Violation("an acknowledged delete came back", entry.id)
        if fate.is_refused and not fate.is_acknowledged:
            raise Violation("a refused create appeared", entry.id)

    def removed(self, key: CounterKey, slots: int, entry: Entry) -> None:
        del slots
        fate = self.fate(key, entry.id)
        if fate.is_delete_asked:
            return
        if self._loop.time() > self._swept_until.get(key, -1.0):
            raise Violation("an entry was deleted, and nobody had asked for it", entry.id)
        fate.is_delete_asked = True


class _Seen(msgspec.Struct, frozen=True):
    at_s: float
    in_use: int
    limit: int


class FairRefusals(Watcher):
    """Who is refused could have seen the counter full, counting what was under way in the same process."""

    LOOK_S = 0.1 + 2 * TRY_TIMEOUT_S
    """Age of the oldest look that may refuse: a look lasts 100 ms, and its answer or a healing takes time."""

    def __init__(self, loop: SimulatedLoop, store: WatchedMemory) -> None:
        self._loop = loop
        self._store = store
        self._seen: dict[CounterKey, list[_Seen]] = {}
        self._creates: list[tuple[float, CounterKey, Process]] = []

    def started(self, key: CounterKey, process: Process) -> None:
        """A create was started."""
        self._creates.append((self._loop.time(), key, process))

    def refused(self, key: CounterKey, process: Process, started_s: float, error: LimitReachedError) -> None:
        """A create was refused."""
        since = started_s - self.LOOK_S
        if process.undisturbed_since > since or process.is_paused:
            # What it saw may be as old as its pause was long.
            return
        seen = self._seen[key]
        first = max((number for number, one in enumerate(seen) if one.at_s <= since), default=0)
        in_use = max(one.in_use for one in seen[first:])
        limit = min(one.limit for one in seen[first:])
        beside = sum(
            at_s >= since - REQUEST_LIFE_S and (owner, host) == (key, process) for at_s, owner, host in self._creates
        )
        if in_use + beside <= limit:
            raise Violation("a create was refused although there was room", f"{in_use} of {limit}, {error}")

    def changed(self, before: Counter, after: Counter, change: Change) -> None:
        del before, change
        self._note(after)

    def healed(self, after: Counter, healing: Healing) -> None:
        del healing
        self._note(after)

    def limited(self, after: Counter) -> None:
        self._note(after)

    def settled(self, after: Counter, settlement: Settlement) -> None:
        del settlement
        self._note(after)

    def inserted(self, key: CounterKey, slots: int, entry: Entry) -> None:
        del slots, entry
        self._note(self._store.counter(key))

    def made(self, counter: Counter) -> None:
        """A counter was made."""
        self._note(counter)

    def _note(self, counter: Counter) -> None:
        in_use = counter.value
        if counter.enforcement is Enforcement.HYBRID:
            in_use = max(in_use, self._store.total(counter.key))
        self._seen.setdefault(counter.key, []).append(_Seen(self._loop.time(), in_use, counter.limit or 0))
