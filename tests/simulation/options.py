"""What one run is like: drawn from its seed, and made smaller by the shrinker."""

from random import Random
from typing import Final

import msgspec

from counters.model import Enforcement
from counters.stock import StockSettings
from tests.simulation.faults import BATCH_FAULTS, Fault

_CALLS_SHARES: Final = (0.03, 0.1, 0.3)
"""Share of calls to the store that go wrong in one way or another."""
_OTHER_RATES: Final = (0.05, 0.2)
_LARGE_STOCK: Final = StockSettings(lasts_s=1.0, size_min=1, part_of_room=2)
"""So large that a run's few creates use it, and that it matters near the limit."""
_STREAM: Final = {Fault.SPLIT, Fault.REDELIVERY, Fault.LAG, Fault.SETTLER_CRASH, Fault.BATCH_LOST}


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a run.

    Attributes:
        seed: Source of all randomness.
        enforcement: Of the counters.
        slots: Partitions of each ledger.
        limit: Of each counter at the start.
        counters: How many.
        processes: How many API processes at a time.
        clients: How many callers.
        steps: Operations of each caller in each burst.
        lulls_s: What follows each burst: how long nobody calls, in seconds.
        think_s: A caller's longest pause between two operations.
        latency_s: Mean time of a request's way to the store, and back.
        batch_max: Most creates in one flush.
        queue_max: Most creates under way in one lane.
        full_for_s: How long a full lane answers from what it saw.
        own_share: Share of creates under the caller's own id.
        delete_share: Share of deletes among operations.
        limits_change: Whether an operator changes limits.
        stock: Bounds of what the lanes reserve ahead.
        rates: How often each kind of fault happens where it can; kinds that are absent never do.
        faults_left_out: Places where no fault is to happen.
        operations_left_out: Operations that are not to happen.
    """

    seed: int
    enforcement: Enforcement
    slots: int
    limit: int
    counters: int
    processes: int
    clients: int
    steps: int
    lulls_s: tuple[float, ...]
    think_s: float
    latency_s: float
    batch_max: int
    queue_max: int
    full_for_s: float
    own_share: float
    delete_share: float
    limits_change: bool
    stock: StockSettings
    rates: dict[Fault, float]
    faults_left_out: frozenset[str] = frozenset()
    operations_left_out: frozenset[str] = frozenset()

    @property
    def is_calm(self) -> bool:
        """Whether nothing goes wrong but a clock and the stream."""
        return not self.rates.keys() - _STREAM - {Fault.SKEW} and self.queue_max > self.clients


def draw_options(seed: int) -> Options:
    """Draw the options of a run."""
    random = Random(f"{seed}/options")
    clients = random.choice([1, 2, 4, 6])
    bursts = random.choice([1, 2, 2, 3])
    return Options(
        seed=seed,
        enforcement=Enforcement.HYBRID if random.random() < 0.25 else Enforcement.STRICT,
        slots=random.choice([1, 1, 4]),
        limit=random.choice([1, 2, 5, 20]),
        counters=random.choice([1, 1, 2]),
        processes=random.choice([1, 2, 3]),
        clients=clients,
        steps=max(2, 40 // (clients * bursts)),
        lulls_s=tuple(random.choice([1.0, 14.0, 17.0, 25.0, 1000.0]) for _ in range(bursts)),
        think_s=random.choice([0.005, 0.05, 0.5]),
        latency_s=random.choice([0.0005, 0.002, 0.02]),
        batch_max=random.choice([1, 3, 1000]),
        queue_max=random.choice([2, 10_000, 10_000]),
        full_for_s=random.choice([0.0, 0.1, 0.1]),
        own_share=random.choice([0.0, 0.3, 1.0]),
        delete_share=random.choice([0.2, 0.45]),
        limits_change=random.random() < 0.3,
        rates=_draw_rates(random),
        stock=random.choice([StockSettings(), _LARGE_STOCK]),
    )


def _draw_rates(random: Random) -> dict[Fault, float]:
    """Most runs have some kinds of faults and not others: what hides behind frequent faults shows in rare ones."""
    share = random.choice([0.0, 0.2, 0.5, 1.0])
    kinds = [fault for fault in Fault if random.random() < share]
    calls = [fault for fault in kinds if fault in BATCH_FAULTS]
    call_rate = random.choice(_CALLS_SHARES) / max(1, len(calls))
    other_rate = random.choice(_OTHER_RATES)
    return {fault: call_rate if fault in calls else other_rate for fault in kinds}
