"""What callers see, and how they ask."""

import contextvars
import math
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

import msgspec

from counters.engine import Engine
from counters.errors import (
    AccountNotFoundError,
    ChangeConflictError,
    EntryNotFoundError,
    LimitReachedError,
    OverloadedError,
)
from counters.keys import CounterKey
from counters.model import Entry
from tests.simulation.changes import AnsweredLimitHolds, LastWordStands
from tests.simulation.coverage import Coverage
from tests.simulation.deaths import DeletedStaysDeleted
from tests.simulation.decisions import FairDecisions
from tests.simulation.history import RunHistory
from tests.simulation.loop import SimulatedLoop
from tests.simulation.options import Options
from tests.simulation.oracle import Oracle
from tests.simulation.processes import Fleet, Process
from tests.simulation.store import Violation

T = TypeVar("T")

_amount: contextvars.ContextVar[int] = contextvars.ContextVar("amount", default=1)


class InDoubtError(Exception):
    """No answer, or one that promises nothing."""


class AmountedEntry(Entry, frozen=True, kw_only=True):
    """An entry whose amount is what the caller has in mind, as nothing else asks the core for another one than 1."""

    amount: int = msgspec.field(default_factory=_amount.get)


class World(msgspec.Struct, frozen=True):
    """The system as callers see it, and who watches them.

    Attributes:
        keys: The counters that callers know, those of deleted accounts among them.
    """

    loop: SimulatedLoop
    options: Options
    keys: list[CounterKey]
    fleet: Fleet
    oracle: Oracle
    decisions: FairDecisions
    changes: LastWordStands
    limits: AnsweredLimitHolds
    deaths: DeletedStaysDeleted
    history: RunHistory
    coverage: Coverage

    async def ask(  # noqa: PLR0913 - who asks whom for what, each under its name
        self,
        who: str,
        process: Process,
        what: str,
        operation: Callable[[Engine], Coroutine[Any, Any, T]],
        *,
        why: str,
        patience_s: float,
        is_bounded: bool = True,
        amount: int = 1,
        on_end: Callable[[], None] | None = None,
    ) -> T:
        """Ask a process; an answer is on time, unless the process stood still.

        Args:
            who: Who asks.
            process: Who is asked.
            what: What for: a word for the kind, and the rest for the history.
            operation: The same, for the engine.
            why: Name of the operation, for the calls that it makes.
            patience_s: How long to wait, in seconds.
            is_bounded: Whether the answer is promised within one deadline.
            amount: Of an entry that it makes.
            on_end: Called when the process is done with it.

        Raises:
            InDoubtError: Overload, a broken connection, or no answer.
        """
        ended = partial(
            self._note_end, who, process, what, self.loop.time() + process.deadline_s if is_bounded else math.inf
        )
        self.history.note(who, f"asks {process.name}: {what}")
        try:
            answer = await process.ask(partial(with_amount, amount, operation), patience_s, why, on_end)
        except ChangeConflictError as error:
            ended(type(error).__name__)
            raise InDoubtError from error
        except (OverloadedError, ConnectionError, TimeoutError) as error:
            ended(type(error).__name__)
            # The deletion of an account waits for what others have under way, and the shortest deadline is a second.
            is_patient = what.startswith("delete_account")
            if self.options.is_calm and not isinstance(error, TimeoutError) and not is_patient:
                raise Violation("a caller was turned away although nothing went wrong", what) from error
            raise InDoubtError from error
        except (LimitReachedError, EntryNotFoundError, AccountNotFoundError) as error:
            ended(type(error).__name__)
            raise
        ended("done")
        return answer

    def _note_end(self, who: str, process: Process, what: str, until_s: float, outcome: str) -> None:
        self.history.note(who, f"is told by {process.name}: {what}: {outcome}")
        kind, _, _ = what.partition(" ")
        self.history.operations[f"{kind} {outcome}"] += 1
        late_s = self.loop.time() - until_s
        undisturbed = process.undisturbed_since <= until_s - process.deadline_s and not process.is_paused
        if late_s > 0.001 and undisturbed:
            raise Violation("an answer was late", f"{what}: {outcome} {late_s:.3f} s after the deadline")


async def with_amount(amount: int, operation: Callable[[Engine], Coroutine[Any, Any, T]], engine: Engine) -> T:
    """Do an operation with an amount in mind, which the entry that it makes will have."""
    # A machine's tasks have its context, so what the caller has in mind goes with the operation.
    _amount.set(amount)
    return await operation(engine)
