"""What was promised of accounts: those that were made are there, and those that were deleted stay deleted."""

from typing import Final

import msgspec

from counters.errors import LimitReachedError
from counters.keys import CounterKey, Ledger
from counters.model import Counter, Enforcement, Entry
from tests.simulation.changes import LastWordStands
from tests.simulation.faults import TRY_TIMEOUT_S
from tests.simulation.loop import SimulatedLoop
from tests.simulation.store import Violation, WatchedMemory, Watcher

_LOOK_S: Final = 0.1 + 2 * TRY_TIMEOUT_S
"""How long after a deletion a lane may still refuse by what it saw before; it lets nobody in by that."""


class Death(msgspec.Struct):
    """The deletion of one account.

    Attributes:
        asked_s: When it was first asked for, in seconds.
        answered_s: When it was answered as done; None before.
    """

    asked_s: float
    answered_s: float | None = None


class DeletedStaysDeleted(Watcher):
    """An account whose deletion was answered does not come back, nor does anything of it stay that nobody can reach."""

    def __init__(
        self, loop: SimulatedLoop, store: WatchedMemory, changes: LastWordStands, lease_lasts_s: float
    ) -> None:
        self._lease_lasts_s = lease_lasts_s
        self._loop = loop
        self._store = store
        self._changes = changes
        self.deaths: dict[CounterKey, Death] = {}

    def is_made(self, key: CounterKey) -> None:
        """An account was answered as made."""
        if not self._store.has(key):
            raise Violation("an account that was answered as made is not there", key)

    def is_doomed(self, key: CounterKey) -> bool:
        """Tell whether somebody asked for the deletion of an account."""
        return key in self.deaths

    def asked(self, key: CounterKey) -> None:
        """A deletion is about to be asked for."""
        self.deaths.setdefault(key, Death(self._loop.time()))

    def answered(self, key: CounterKey) -> None:
        """A deletion was answered as done."""
        death = self.deaths[key]
        death.answered_s = self._loop.time() if death.answered_s is None else death.answered_s
        if self._store.has(key):
            raise Violation("an account whose deletion was answered is there", key)

    def not_found(self, key: CounterKey) -> None:
        """An account was said not to exist."""
        if key not in self.deaths:
            raise Violation("an account was not found, and nobody deleted it", key)

    def created(self, key: CounterKey, started_s: float) -> None:
        """A create that was started at this time was answered as done: by another process's lease at most."""
        death = self.deaths.get(key)
        is_strict = not self._store.exists(key) or self._store.counter(key).enforcement is Enforcement.STRICT
        if death is None or death.answered_s is None or not is_strict:
            return
        if started_s > death.answered_s + self._lease_lasts_s:
            raise Violation("a create was done in an account whose deletion was answered", key)

    def refused(self, key: CounterKey, started_s: float, error: LimitReachedError) -> None:
        """A create that was started at this time was refused."""
        death = self.deaths.get(key)
        if death is None:
            return
        if death.answered_s is not None and started_s > death.answered_s + _LOOK_S:
            raise Violation("a deleted account refused a create by its limit", error)
        if error.limit == 0 and not self._changes.is_asked_for(key, 0):
            raise Violation("the deletion of an account refused a create by a limit that nobody set", error)

    def made(self, counter: Counter) -> None:
        death = self.deaths.get(counter.key)
        if death is not None and death.answered_s is not None:
            raise Violation("a deleted account came back", counter.key)

    def inserted(self, ledger: Ledger, entry: Entry) -> None:
        if not self._store.exists(ledger.counter):
            raise Violation("an entry appeared in an account that is gone", entry)

    def check_end(self) -> None:
        """Check, when nothing is under way any more, that nothing is left of deleted accounts."""
        for key, death in self.deaths.items():
            if self._store.total(key):
                raise Violation("a deleted account left entries that nobody can reach", self._store.ledger(key))
            if self._store.exists(key):
                raise Violation("no sweep ended the deletion of an account", death)
