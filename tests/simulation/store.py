"""The store of a simulation: the one in memory, and it tells watchers of every step as it happens."""

from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from counters.keys import SERVICES, CounterKey, Ledger, is_ours, page_id_of
from counters.model import Account, Change, Changed, Counter, CutHealing, Entry, Healing, LedgerPage
from counters.settlement import PageChange, Settled, Settlement, Unsettled
from counters.stores.memory import MemoryStore
from tests.simulation.coverage import Coverage

READS: Final = frozenset({
    "list_account_ids",
    "list_entries",
    "ping",
    "read_account",
    "read_accounts",
    "read_counter",
    "read_counters",
    "read_entries",
    "read_entry",
})  # fmt: skip


_TERMS_WRITES: Final = frozenset({"set_terms", "close_counter"})
_LEDGER_WRITES: Final = frozenset({"insert_page", "rename_entry", "delete_entries"})
_CENSUS_WRITES: Final = frozenset({"change_census", "end_census"})


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

    def made(self, counter: Counter) -> None:
        """An account and its counter were made."""

    def changed(self, before: Counter, after: Counter, change: Change) -> None:
        """A flush was applied."""

    def healed(self, before: Counter, after: Counter, healing: Healing | CutHealing) -> None:
        """A healing was applied."""

    def limited(self, after: Counter, why: str) -> None:
        """A limit was set, by the operation of that name."""

    def inserted(self, ledger: Ledger, entry: Entry) -> None:
        """An entry came into the ledger."""

    def removed(self, ledger: Ledger, entry: Entry) -> None:
        """An entry went out of the ledger."""

    def wrote(self, ledger: Ledger, page_id: str, change: PageChange) -> None:
        """A page of the ledger was changed or asked, and its record has no number yet; after what became of entries."""

    def renamed(self, key: CounterKey, entry_id: str | None, why: str) -> None:
        """An entry got a name, or the account when there is no entry, by the operation of that name."""

    def settled(self, after: Counter, settlement: Settlement) -> None:
        """A part of a batch was settled."""

    def changed_census(self, before: Counter, after: Counter) -> None:
        """A census began, went on or ended."""


class _State:
    """What a call can change: an account, its counter, its ledger, how many marks there are, who was asked."""

    def __init__(
        self,
        account: Account | None,
        counter: Counter | None,
        ledger: dict[str, Entry],
        marks: int,
        asked: dict[tuple[CounterKey, str], int],
    ) -> None:
        self.account = account
        self.counter = counter
        self.ledger = ledger
        self.marks = marks
        self.asked = asked


class WatchedMemory(MemoryStore):
    """A store in memory with watchers.

    Attributes:
        watchers: Who is told.
    """

    def __init__(self, coverage: Coverage) -> None:
        super().__init__()
        self._coverage = coverage
        self.watchers: list[Watcher] = []
        self._totals: dict[CounterKey, int] = {}

    @property
    def keys(self) -> list[CounterKey]:
        """Return the counters of all accounts that anybody can see."""
        return [key for key in self._counters if self.has(key)]

    def exists(self, key: CounterKey) -> bool:
        """Tell whether there is such a counter."""
        return key in self._counters

    def has(self, key: CounterKey) -> bool:
        """Tell whether there is such an account that nobody has begun to delete."""
        return key.account_id in self._accounts and not self._counters[key].is_closed

    def counter(self, key: CounterKey) -> Counter:
        """Return the counter as it is, outside any call; raises ``KeyError`` when it was deleted."""
        return self._counters[key]

    def username(self, key: CounterKey) -> str:
        """Return the name of an account, outside any call."""
        return self._accounts[key.account_id].username

    def total(self, key: CounterKey) -> int:
        """Return the truth: the sum of the ledger."""
        return self._totals.get(key, 0)

    def ledger(self, key: CounterKey) -> dict[str, Entry]:
        """Return the entries of a counter, outside any call."""
        return {
            entry_id: one
            for (owner, _), slot in self._ledgers.items()
            if owner == key
            for entry_id, one in slot.items()
        }

    def find(self, key: CounterKey, entry_id: str) -> Entry | None:
        """Return an entry, outside any call."""
        return self.ledger(key).get(entry_id)

    def apply(self, method: str, args: tuple[Any, ...], why: str) -> object:
        """Let a call of an operation of this name take effect, and tell the watchers what it changed."""
        if method in READS:
            return _run(getattr(self, method), args)
        key = _key_of(args)
        before = self._state(key, method)
        outcome = _run(getattr(self, method), args)
        after = self._state(key, method)
        self._tell_of_account(key, before, after, why)
        if before.counter is not None and after.counter is not None:
            self._tell_of_counter(before.counter, after.counter, method, args, outcome, why)
        if after.marks < before.marks and after.counter is not None and method == "prune_marks":
            self._coverage.count("marks pruned")
        if method == "insert_page":
            self._note_page(cast("LedgerPage | None", outcome), *args[1:])
        if after.ledger != before.ledger:
            self._tell_of_ledger(args[0], before, after, why)
        elif method == "ask_page" and after.asked != before.asked:
            self._tell_of_answer(args[0], args[1], before, after)
        return outcome

    def _note_page(self, taken: LedgerPage | None, entries: Sequence[Entry], emptied: LedgerPage | None = None) -> None:
        if taken is None and emptied is not None:
            self._coverage.count("emptied page replaced")
        if taken is not None and is_ours(entries[0].id):
            self._coverage.count("page refused, as an earlier try of it was stored")

    def _state(self, key: CounterKey, method: str) -> _State:
        ledger = self.ledger(key) if method in _LEDGER_WRITES else {}
        asked = dict(self._asked) if method in _LEDGER_WRITES or method == "ask_page" else {}
        return _State(
            self._accounts.get(key.account_id), self._counters.get(key), ledger, len(self._marks.get(key, {})), asked
        )

    def _tell_of_account(self, key: CounterKey, before: _State, after: _State, why: str) -> None:
        for watcher in self.watchers:
            if before.account is None and after.account is not None and after.counter is not None:
                watcher.made(after.counter)
            elif before.account is not after.account and after.account is not None:
                watcher.renamed(key, None, why)

    def _tell_of_counter(  # noqa: PLR0913, PLR0917 - a call and what it did
        self, before: Counter, after: Counter, method: str, args: tuple[Any, ...], outcome: object, why: str
    ) -> None:
        for watcher in self.watchers:
            if method == "change_counter" and isinstance(outcome, Changed):
                watcher.changed(before, after, args[1])
            elif method in {"heal_counter", "heal_cut"} and isinstance(outcome, Changed):
                watcher.healed(before, after, args[1])
            elif method == "settle" and isinstance(outcome, Settled):
                watcher.settled(after, args[1])
            elif method in _TERMS_WRITES and before is not after:
                watcher.limited(after, why)
            elif method in _CENSUS_WRITES and before is not after:
                watcher.changed_census(before, after)
        self._note_census(before, after, method, args, outcome)
        if isinstance(outcome, Changed):
            self._note_change(method, args)
        if method == "change_counter" and args[1].epoch not in {None, before.epoch}:
            self._coverage.count("release of an earlier epoch refused by the store")

    def _note_change(self, method: str, args: tuple[Any, ...]) -> None:
        if method == "cut_counter":
            self._coverage.count("counter in use cut")
        if method == "change_counter" and args[1].before_cut:
            self._coverage.count("release of before the cut")
        if method == "raise_revision" and args[2] is not None:
            self._coverage.count("census of a quiet counter")

    def _note_census(
        self, before: Counter, after: Counter, method: str, args: tuple[Any, ...], outcome: object
    ) -> None:
        if method == "end_census" and before is not after:
            self._coverage.count("census ended")
        if method == "change_census" and before.census and after.census and before.census.line < after.census.line:
            self._coverage.count("census begun in the place of a lost one")
        if isinstance(outcome, Unsettled) and outcome.censuses != args[1].censuses:
            self._coverage.count("settlement refused, as a census began or ended")

    def _tell_of_ledger(self, ledger: Ledger, was: _State, now: _State, why: str) -> None:
        key, before, after = ledger.counter, was.ledger, now.ledger
        counter = self._counters.get(key)
        changed = [one for one in sorted(before.keys() | after.keys()) if before.get(one) != after.get(one)]
        for entry_id in changed:
            old, new = before.get(entry_id), after.get(entry_id)
            if counter is not None:
                assert ledger.slot_of(entry_id) == counter.ledger.slot_of(entry_id), "written to a wrong slot"
            self._totals[key] = self.total(key) + (new.amount if new else 0) - (old.amount if old else 0)
            for watcher in self.watchers:
                if old is None and new is not None:
                    watcher.inserted(ledger, new)
                elif new is None and old is not None:
                    watcher.removed(ledger, old)
                else:
                    watcher.renamed(key, entry_id, why)
        (page_id,) = {page_id_of(entry_id) for entry_id in changed}
        if len(changed) > 1:
            self._coverage.count("page of several entries")
        if not any(page_id_of(entry_id) == page_id for entry_id in after):
            self._coverage.count("page emptied")
        self._tell_of_page(ledger, page_id, was, now)

    def _tell_of_answer(self, ledger: Ledger, page_id: str, was: _State, now: _State) -> None:
        was.ledger = now.ledger = self.ledger(ledger.counter)
        self._coverage.count("page answered a census")
        self._tell_of_page(ledger, page_id, was, now)

    def _tell_of_page(self, ledger: Ledger, page_id: str, was: _State, now: _State) -> None:
        before, after = (
            [entry for id_, entry in state.ledger.items() if page_id_of(id_) == page_id] for state in (was, now)
        )
        place = (ledger.counter, page_id)
        change = PageChange(
            ledger.counter,
            0,
            before=sum(entry.amount for entry in before),
            after=sum(entry.amount for entry in after),
            revision=next((entry.revision for entry in (*after, *before)), 0),
            asked_before=was.asked.get(place, 0),
            asked_after=now.asked.get(place, 0),
        )
        for watcher in self.watchers:
            watcher.wrote(ledger, page_id, change)


def _key_of(args: tuple[Any, ...]) -> CounterKey:
    """Return the counter that a call is about: it is named first, or its account is."""
    subject = args[0]
    if isinstance(subject, Ledger):
        return subject.counter
    if isinstance(subject, CounterKey):
        return subject
    return CounterKey(subject.id if isinstance(subject, Account) else subject, SERVICES)


def _run(method: Callable[..., Any], args: tuple[object, ...]) -> object:
    """Run a method of the store, which never waits."""
    step = method(*args)
    try:
        step.send(None)
    except StopIteration as stop:
        return cast("object", stop.value)
    raise AssertionError("a method of the store in memory has to be one step")
