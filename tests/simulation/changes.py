"""Changes of one value that several people set: a limit, a name. The last one that was answered as done stands."""

from collections import defaultdict
from typing import TypeAlias

import msgspec

from counters.errors import LimitReachedError
from counters.keys import CounterKey, Ledger
from counters.model import Counter, Enforcement, Entry
from tests.simulation.loop import SimulatedLoop
from tests.simulation.processes import Process
from tests.simulation.store import Violation, WatchedMemory, Watcher

Subject: TypeAlias = tuple[str, CounterKey, str | None]
"""What is set, limit or name; of which counter; of which entry of it, if any."""


class Setting(msgspec.Struct):
    """One operation that sets a value.

    Attributes:
        subject: What it sets.
        value: What it sets it to.
        process: Who was asked.
        loop: Who knows the time.
        started_s: When, in seconds.
        applied_s: When it last took effect; None before.
        ended_s: When the process was done with it, or died; None before.
        answered_s: When it was answered as done; None before.
    """

    subject: Subject
    value: object
    process: Process
    loop: SimulatedLoop
    started_s: float
    applied_s: float | None = None
    ended_s: float | None = None
    answered_s: float | None = None

    @property
    def limit(self) -> int | None:
        """The value, when it is a limit."""
        return self.value if isinstance(self.value, int) else None

    def end(self) -> None:
        """Note that the process is done with it."""
        self.ended_s = self.loop.time()

    def __str__(self) -> str:
        return f"{self.value} asked {self.started_s:.3f} s, ended {self.ended_s or 0:.3f} s"


class LastWordStands(Watcher):
    """A limit or a name that was answered as done stands until somebody sets another one.

    However late the tries of an operation that is over take effect, they undo nothing that was asked for after it.
    """

    def __init__(self, loop: SimulatedLoop, store: WatchedMemory) -> None:
        self._loop = loop
        self._store = store
        self._settings: dict[str, Setting] = {}
        self._of: dict[Subject, list[Setting]] = defaultdict(list)
        self._inserted_s: dict[tuple[CounterKey, str], float] = {}

    def started(self, why: str, subject: Subject, value: object, process: Process) -> Setting:
        """Note that an operation of this name is about to be asked for."""
        setting = Setting(subject, value, process, self._loop, self._loop.time())
        self._settings[why] = setting
        self._of[subject].append(setting)
        return setting

    def answered(self, setting: Setting) -> None:
        """An operation was answered as done: unless somebody else was at it as well, its value is there."""
        setting.answered_s = self._loop.time()
        others = [one for one in self._of[setting.subject] if one is not setting]
        if any(one.ended_s is None or one.ended_s > setting.started_s for one in others):
            return
        if self._is_of_life_before(setting):
            return
        is_there, value = self._value(setting.subject)
        if is_there and value != setting.value:
            raise Violation("a change that was answered is not there", f"{value!r} and not {setting}")

    def last_limit(self, key: CounterKey, process: Process, before_s: float) -> Setting | None:
        """Return the change of a limit that a process answered last before a time."""
        answered = [
            one
            for one in self._of["limit", key, None]
            if one.process is process and one.answered_s is not None and one.answered_s <= before_s
        ]
        return max(answered, key=lambda one: one.applied_s or one.started_s, default=None)

    def is_asked_for(self, key: CounterKey, limit: int) -> bool:
        """Tell whether anybody ever asked for this limit."""
        return any(one.value == limit for one in self._of["limit", key, None])

    def inserted(self, ledger: Ledger, entry: Entry) -> None:
        self._inserted_s[ledger.counter, entry.id] = self._loop.time()

    def limited(self, after: Counter, why: str) -> None:
        self._applied(("limit", after.key, None), why)

    def renamed(self, key: CounterKey, entry_id: str | None, why: str) -> None:
        self._applied(("name", key, entry_id), why)

    def _applied(self, subject: Subject, why: str) -> None:
        setting = self._settings.get(why)
        if setting is None or setting.subject != subject:
            return
        others = [one for one in self._of[subject] if one is not setting]
        if setting.applied_s is not None and any((one.applied_s or 0.0) > setting.applied_s for one in others):
            raise Violation(f"a change of a {subject[0]} was made twice, over a newer one", setting)
        setting.applied_s = self._loop.time()
        if setting.ended_s is None:
            return
        for one in others:
            if one.answered_s is not None and one.started_s >= setting.ended_s:
                raise Violation(f"an older change of a {subject[0]} undid a newer one", f"{setting}, {one}")

    def _is_of_life_before(self, setting: Setting) -> bool:
        """Tell whether a rename may have named an entry that was deleted since, and created again under its id."""
        _, key, entry_id = setting.subject
        return entry_id is not None and self._inserted_s.get((key, entry_id), -1.0) >= setting.started_s

    def _value(self, subject: Subject) -> tuple[bool, object]:
        """Return whether what is set is there, and its value."""
        what, key, entry_id = subject
        if not self._store.has(key):
            return False, None
        if entry_id is not None:
            entry = self._store.find(key, entry_id)
            return entry is not None, entry and entry.name
        return True, self._store.counter(key).limit if what == "limit" else self._store.username(key)


class AnsweredLimitHolds(Watcher):
    """After a process answered a change of the limit, it refuses and lets in by that limit, or by a later one."""

    def __init__(self, loop: SimulatedLoop, store: WatchedMemory, changes: LastWordStands) -> None:
        self._loop = loop
        self._store = store
        self._changes = changes
        self._limits: dict[CounterKey, list[tuple[float, int | None]]] = defaultdict(list)

    def made(self, counter: Counter) -> None:
        self.limited(counter, "")

    def limited(self, after: Counter, why: str) -> None:
        del why
        self._limits[after.key].append((self._loop.time(), after.limit))

    def refused(self, key: CounterKey, process: Process, started_s: float, error: LimitReachedError) -> None:
        """A create was refused by a process."""
        limits = self._limits_since(key, process, started_s)
        if limits and error.limit not in limits:
            raise Violation("an answered change of the limit did not hold in its own process", f"{error} {limits}")

    def admitted(self, key: CounterKey, process: Process, started_s: float) -> None:
        """A create was let in by a process: by the one-sided rule, all that is there was let in by its limit."""
        limits = self._limits_since(key, process, started_s)
        if not limits or not self._store.exists(key):
            return
        is_strict = self._store.counter(key).enforcement is Enforcement.STRICT
        if is_strict and self._store.total(key) > max(limit or 0 for limit in limits):
            raise Violation("a create was let in over a limit that its own process had answered", limits)

    def _limits_since(self, key: CounterKey, process: Process, before_s: float) -> list[int | None]:
        """Return the limits since the last change that a process had answered by then; nothing if it answered none."""
        change = self._changes.last_limit(key, process, before_s)
        if change is None:
            return []
        since_s = change.started_s if change.applied_s is None else change.applied_s
        return [change.limit, *(limit for at_s, limit in self._limits[key] if at_s >= since_s)]
