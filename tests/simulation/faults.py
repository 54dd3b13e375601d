"""What goes wrong, and how often: drawn from the seed, so that a run can be repeated, and with less."""

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from tests.simulation.dice import Dice

REQUEST_LIFE_S: Final = 3.0
"""Longest time from sending a request to its effect."""

TRY_TIMEOUT_S: Final = 2.5
"""When a process gives a request up, as in ``counters/dynamodb``."""

SKEW_MAX_S: Final = 1.9
"""Furthest that a process's clock is from the true time. Together with a request's life this has to fit, twice, into
the quiet time less the deadline: a late change may set ``touched_at`` back by both, a clock ahead adds its own."""


class Fault(StrEnum):
    """Kinds of trouble."""

    SLOW = "slow"
    WAITS = "waits"
    THROTTLED = "throttled"
    STORM = "storm"
    CONFLICT = "conflict"
    REQUEST_LOST = "request_lost"
    ANSWER_LOST = "answer_lost"
    DELAYED = "delayed"
    PARTIAL = "partial"
    CRASH = "crash"
    SHUTDOWN = "shutdown"
    PAUSE = "pause"
    PAUSE_LATER = "pause_later"
    PAUSE_SENDING = "pause_sending"
    SKEW = "skew"
    SPLIT = "split"
    REDELIVERY = "redelivery"
    LAG = "lag"
    SETTLER_CRASH = "settler_crash"
    BATCH_LOST = "batch_lost"


READ_FAULTS: Final = (Fault.SLOW, Fault.WAITS, Fault.THROTTLED, Fault.REQUEST_LOST)
WRITE_FAULTS: Final = (
    Fault.SLOW,
    Fault.WAITS,
    Fault.THROTTLED,
    Fault.CONFLICT,
    Fault.REQUEST_LOST,
    Fault.ANSWER_LOST,
    Fault.DELAYED,
)
BATCH_FAULTS: Final = (*WRITE_FAULTS, Fault.PARTIAL)
PROCESS_FAULTS: Final = (Fault.CRASH, Fault.SHUTDOWN, Fault.PAUSE, Fault.PAUSE_LATER)
PAUSES: Final = (Fault.PAUSE, Fault.PAUSE_LATER, Fault.PAUSE_SENDING)


class Injector:
    """Decides about faults.

    Attributes:
        injected: How many of each kind.
        places: Where they happened, for leaving some of them out.
        is_active: Whether faults happen; off in the liveness phase.
    """

    def __init__(self, dice: Dice, rates: dict[Fault, float], left_out: frozenset[str]) -> None:
        self._dice = dice
        self._rates = rates
        self._left_out = left_out
        self.injected: Counter[Fault] = Counter()
        self.places: list[str] = []
        self.is_active = True

    def happens(self, kind: Fault) -> bool:
        """Tell whether a kind of fault happens in this run."""
        return self.is_active and kind in self._rates

    def draw(self, kinds: Sequence[Fault], place: str, *, share: float = 1.0) -> Fault | None:
        """Return what happens at a place: one of these kinds, or nothing.

        Args:
            kinds: What can happen.
            place: Where; each place is drawn for once.
            share: Part of the usual rate.
        """
        if not self.is_active or self._rates.keys().isdisjoint(kinds):
            return None
        chance = self._dice.at(place).random()
        for kind in kinds:
            chance -= self._rates.get(kind, 0.0) * share
            if chance < 0:
                return self._inject(kind, place)
        return None

    def _inject(self, kind: Fault, place: str) -> Fault | None:
        if place in self._left_out:
            return None
        self.places.append(place)
        self.injected[kind] += 1
        return kind
