"""Whether there was a reason to refuse a create, or to let it in."""

from typing import Final

import msgspec

from counters.errors import LimitReachedError
from counters.keys import CounterKey, Ledger
from counters.model import Change, Counter, CutHealing, Enforcement, Entry, Healing
from counters.settlement import Settlement
from tests.simulation.faults import PAUSES, READ_FAULTS, TRY_TIMEOUT_S, NetworkFault
from tests.simulation.loop import SimulatedLoop
from tests.simulation.options import Options
from tests.simulation.processes import Process
from tests.simulation.store import Violation, WatchedMemory, Watcher

_COUNTED_WITHIN_S: Final = 30.0
"""How long a counter may take nothing, so that what a hybrid lane did is not in it."""


class _Seen(msgspec.Struct, frozen=True):
    at_s: float
    in_use: int
    value: int
    limit: int


class FairDecisions(Watcher):
    """A refusal by a strict counter was true at an instant of its request: ``best_effort`` left no room for it.

    A refusal by a hybrid counter could have been true, counting what was under way in the same process. Who is let into
    a hybrid counter could have seen room: nothing else keeps its limit.
    """

    def __init__(self, loop: SimulatedLoop, store: WatchedMemory, options: Options) -> None:
        self._loop = loop
        self._store = store
        self._is_changing = options.enforcement_changes
        self._seen: dict[CounterKey, list[_Seen]] = {}
        self._creates: list[tuple[float, CounterKey, Process, int]] = []
        self._deletes: list[tuple[float, CounterKey, float]] = []
        # Age of the oldest look that may decide: a look lasts 100 ms, and its answer or a healing takes time.
        is_slow = not options.rates.keys().isdisjoint(
            {NetworkFault.SLOW, NetworkFault.WAITS, NetworkFault.REQUEST_LOST, *PAUSES}
        )
        self._look_s = options.sight_lasts_s + (2 * TRY_TIMEOUT_S if is_slow else 40 * options.latency_s)
        # A hybrid lane that cannot look goes by what it saw last.
        self._can_look = options.rates.keys().isdisjoint({*READ_FAULTS, *PAUSES})

    def started(self, key: CounterKey, process: Process, amount: int) -> None:
        """A create was started."""
        self._creates.append((self._loop.time(), key, process, amount))

    def deleting(self, key: CounterKey, amount: float) -> None:
        """Deletes of this amount at most are about to start."""
        self._deletes.append((self._loop.time(), key, amount))

    def admitted(self, key: CounterKey, started_s: float, amount: int) -> None:
        """A create was let in."""
        if not self._can_look or self._is_changing or not self._store.has(key):
            return
        if self._store.counter(key).enforcement is not Enforcement.HYBRID:
            return
        seen = self._seen_since(key, started_s - self._look_s)
        value, limit = min(one.value for one in seen), max(one.limit for one in seen)
        # A hybrid delete makes its room before it is flushed, for as long as the counter takes nothing.
        freed = sum(
            freed for at_s, owner, freed in self._deletes if owner == key and at_s >= started_s - _COUNTED_WITHIN_S
        )
        if value + amount - freed > limit:
            raise Violation("a hybrid create was let in although there was no room", f"{value} of {limit}")

    def refused(
        self, key: CounterKey, process: Process, started_s: float, amount: int, error: LimitReachedError
    ) -> None:
        """A create of this amount was refused."""
        if self._is_changing:
            return
        seen = self._seen_since(key, started_s)
        if not self._store.exists(key) or self._store.counter(key).enforcement is Enforcement.STRICT:
            if not any(one.value + amount > one.limit for one in seen):
                raise Violation("a create was refused although its counter had room all the time", error)
            return
        if process.undisturbed_since > started_s or process.is_paused:
            return
        in_use, limit = max(one.in_use for one in seen), min(one.limit for one in seen)
        # A hybrid create is in flight until it is counted, in ``eventual`` as well meanwhile.
        beside = sum(
            amount
            for at_s, owner, host, amount in self._creates
            if at_s >= started_s - _COUNTED_WITHIN_S and (owner, host) == (key, process)
        )
        if in_use + beside <= limit:
            raise Violation("a create was refused although there was room", f"{in_use} of {limit}, {error}")

    def _seen_since(self, key: CounterKey, since_s: float) -> list[_Seen]:
        """Return what the counter was from a time on, what it was at that time first."""
        seen = self._seen[key]
        first = max((number for number, one in enumerate(seen) if one.at_s <= since_s), default=0)
        return seen[first:]

    def changed(self, before: Counter, after: Counter, change: Change) -> None:
        del before, change
        self._note(after)

    def healed(self, before: Counter, after: Counter, healing: Healing | CutHealing) -> None:
        del before, healing
        self._note(after)

    def limited(self, after: Counter, why: str) -> None:
        del why
        self._note(after)

    def settled(self, after: Counter, settlement: Settlement) -> None:
        del settlement
        self._note(after)

    def inserted(self, ledger: Ledger, entry: Entry) -> None:
        del entry
        if self._store.exists(ledger.counter):
            self._note(self._store.counter(ledger.counter))

    def made(self, counter: Counter) -> None:
        self._note(counter)

    def _note(self, counter: Counter) -> None:
        in_use = counter.value
        if counter.enforcement is Enforcement.HYBRID:
            in_use = max(in_use, self._store.total(counter.key))
        self._seen.setdefault(counter.key, []).append(
            _Seen(self._loop.time(), in_use, counter.value, counter.limit or 0)
        )
