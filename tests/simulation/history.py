"""What happened in a run: readable lines with virtual times, and counts."""

from collections import Counter as Tally
from typing import Any

import msgspec

from counters.keys import CounterKey, Ledger
from counters.model import Account, Change, Counter, Entry, Healing, LedgerPage, Refused
from counters.settlement import Settlement, Unsettled
from tests.simulation.faults import NetworkFault
from tests.simulation.loop import SimulatedLoop
from tests.simulation.store import READS, WatchedMemory


class HistoryLine(msgspec.Struct, frozen=True):
    """One event."""

    at_s: float
    who: str
    what: str

    def __str__(self) -> str:
        return f"{self.at_s:10.3f} s  {self.who:<12} {self.what}"


class RunHistory:
    """Takes down what happens, if anybody is to read it.

    Attributes:
        lines: The events so far; empty when nobody reads them.
        operations: How many of each kind callers started, and how they ended.
        steps: The callers' operations, each once however often it was tried.
    """

    def __init__(self, loop: SimulatedLoop, store: WatchedMemory, *, is_read: bool) -> None:
        self._loop = loop
        self._store = store
        self._is_read = is_read
        self.lines: list[HistoryLine] = []
        self.operations: Tally[str] = Tally()
        self.steps: list[str] = []

    def note(self, who: str, what: str) -> None:
        """Note an event."""
        if self._is_read:
            self.lines.append(HistoryLine(self._loop.time(), who, what))

    def note_applied(
        self, machine: str, method: str, args: tuple[Any, ...], fault: NetworkFault | None, outcome: object
    ) -> None:
        """Note that a call took effect, and what the counter and its ledger are now."""
        if not self._is_read or method in READS:
            return
        trouble = f" [{fault}]" if fault else ""
        trouble += " refused" if isinstance(outcome, Refused | Unsettled) else ""
        self.note(machine, f"{method} {_describe(args)}{trouble} -> {self._state(args[0])}")

    def _state(self, subject: object) -> str:
        if not isinstance(subject, CounterKey):
            return "done"
        total = self._store.total(subject)
        if not self._store.exists(subject):
            return f"no account, ledger {total}"
        counter = self._store.counter(subject)
        return (
            f"best_effort {counter.best_effort} eventual {counter.eventual} ledger {total} epoch {counter.epoch}"
            f" limit {counter.limit}{' closed' if counter.is_closed else ''}"
        )

    def note_failed(self, machine: str, method: str, args: tuple[Any, ...], fault: NetworkFault | None) -> None:
        """Note that a call failed for its caller."""
        if self._is_read:
            self.note(machine, f"{method} {_describe(args)} fails: {fault}")


def _describe(args: tuple[Any, ...]) -> str:
    return " ".join(filter(None, (_describe_one(arg) for arg in args)))


def _describe_one(arg: object) -> str:  # noqa: PLR0911 - one line for each kind
    match arg:
        case CounterKey():
            return arg.account_id
        case Ledger():
            return arg.counter.account_id
        case LedgerPage():
            return f"over {arg.nonce}"
        case Change():
            return f"{arg.delta:+}{' under the limit ' + str(arg.limit) if arg.admits else ''}" + (
                "" if arg.epoch is None else f" if epoch {arg.epoch}"
            )
        case Entry():
            return f"{arg.id} {arg.name}" + (f" of {arg.amount}" if arg.amount > 1 else "")
        case Healing():
            return f"to {arg.total} if revision {arg.revision}"
        case Settlement():
            census = f", {arg.census_delta:+} for census {arg.censuses.line}" if arg.censuses.line else ""
            return f"{arg.delta:+} of {arg.shard}:{arg.first}-{arg.last}{census}"
        case Counter() | Account() | None:
            return ""
        case list():
            return "[" + " ".join(_describe_one(one) for one in arg) + "]"
        case _:
            return str(arg)
