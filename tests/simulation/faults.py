"""What goes wrong, and how often: drawn from the seed, so that a run can be repeated, and with less."""

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from tests.simulation.dice import Dice

REQUEST_LIFE_S: Final = 3.0
"""Longest time from sending a request to its effect."""

TRY_TIMEOUT_S: Final = 2.5
"""When a process gives a request up, as in ``counters/stores/dynamodb``."""

SKEW_MAX_S: Final = 1.9
"""Furthest that a process's clock is from the true time. Together with a request's life this has to fit, twice, into
the quiet time less the deadline: a late change may set ``touched_at`` back by both, a clock ahead adds its own."""


class NetworkFault(StrEnum):
    """Kinds of trouble."""

    SLOW = "slow"
    WAITS = "waits"
    THROTTLED = "throttled"
    STORM = "storm"
    CONFLICT = "conflict"
    REQUEST_LOST = "request_lost"
    ANSWER_LOST = "answer_lost"
    DELAYED = "delayed"
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


READ_FAULTS: Final = (NetworkFault.SLOW, NetworkFault.WAITS, NetworkFault.THROTTLED, NetworkFault.REQUEST_LOST)
WRITE_FAULTS: Final = (
    NetworkFault.SLOW,
    NetworkFault.WAITS,
    NetworkFault.THROTTLED,
    NetworkFault.CONFLICT,
    NetworkFault.REQUEST_LOST,
    NetworkFault.ANSWER_LOST,
    NetworkFault.DELAYED,
)
PROCESS_FAULTS: Final = (NetworkFault.CRASH, NetworkFault.SHUTDOWN, NetworkFault.PAUSE, NetworkFault.PAUSE_LATER)
PAUSES: Final = (NetworkFault.PAUSE, NetworkFault.PAUSE_LATER, NetworkFault.PAUSE_SENDING)


class Injector:
    """Decides about faults.

    Attributes:
        injected: How many of each kind.
        places: Where they happened, for leaving some of them out.
        is_active: Whether faults happen; off in the liveness phase.
    """

    def __init__(self, dice: Dice, rates: dict[NetworkFault, float], left_out: frozenset[str]) -> None:
        self._dice = dice
        self._rates = rates
        self._left_out = left_out
        self.injected: Counter[NetworkFault] = Counter()
        self.places: list[str] = []
        self.is_active = True

    def happens(self, kind: NetworkFault) -> bool:
        """Tell whether a kind of fault happens in this run."""
        return self.is_active and kind in self._rates

    def draw(self, kinds: Sequence[NetworkFault], place: str, *, share: float = 1.0) -> NetworkFault | None:
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

    def _inject(self, kind: NetworkFault, place: str) -> NetworkFault | None:
        if place in self._left_out:
            return None
        self.places.append(place)
        self.injected[kind] += 1
        return kind
