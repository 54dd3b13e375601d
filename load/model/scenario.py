"""What a run of the model is like, and what it measured."""

from enum import StrEnum
from typing import Final

import msgspec

from counters.keys import SLOTS_MAX
from load.model.assumptions import CPU, CpuCosts

_BOUNDS: Final = {
    "processes": (1, 200),
    "slots": (1, SLOTS_MAX),
    "accounts": (1, 1_000_000),
    "callers": (0, 10_000),
    "rate_per_s": (0, 1_000_000),
    "window_s": (0.001, 3600),
}


class ModelStrategy(StrEnum):
    """A way to keep a limit."""

    STRICT = "strict"
    HYBRID = "hybrid"
    TRANSACTIONAL = "transactional"
    RETRIED_TRANSACTIONAL = "transactional, 5 tries"
    CONDITIONAL = "conditional"
    READ_CHECK = "read-check"
    SHARDED = "sharded"


ENGINE: Final = frozenset({ModelStrategy.STRICT, ModelStrategy.HYBRID})
"""Those that are the real engine."""


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One run.

    Attributes:
        strategy: How the limit is kept.
        processes: API processes, 1 to 200.
        slots: Partitions of each ledger, 1 to 64.
        accounts: How many accounts are created on.
        skew: Exponent of the Zipf distribution that accounts are chosen by; 0 chooses evenly.
        callers: Callers of each process who send their next create when they have their answer; 0 for none.
        rate_per_s: Creates a second of all processes together that come whatever the answers, at random times.
        own_ids: Whether callers bring ids of their own, random ones.
        limit: Limit of each counter.
        warm_up_s: Virtual seconds before anything is measured.
        window_s: Virtual seconds that are measured.
        cpu: What the processes' cores have to do.
        seed: Source of all randomness.

    Raises:
        ValueError: A value out of its bounds, which it names.
    """

    strategy: ModelStrategy
    processes: int
    slots: int = 1
    accounts: int = 1
    skew: float = 0.0
    callers: int = 0
    rate_per_s: float = 0.0
    own_ids: bool = False
    limit: int = 10**9
    warm_up_s: float = 2.0
    window_s: float = 2.0
    cpu: CpuCosts = CPU
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the bounds."""
        for name, (least, most) in _BOUNDS.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise ValueError(f"{name} must be from {least:g} to {most:g}, not {value:g}")
        if (self.callers > 0) == (self.rate_per_s > 0):
            raise ValueError("either callers or rate_per_s must be given, and not both")


class ScenarioResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a run measured in its window.

    Attributes:
        scenario: What was run.
        creates_per_s: Creates that succeeded.
        p50_ms: Latency that half of these stayed within, from arrival at the process.
        p99_ms: Latency that 99 percent stayed within.
        errors: Share of all answers that were neither yes nor no.
        calls_per_create: Requests to DynamoDB for each create that succeeded.
        throttled_per_s: Requests of which something was refused for lack of units.
        conflicts_per_s: Requests refused for a transaction under way.
        flushes_per_s: Updates of counters that were admitted.
        write_units: For each create that succeeded, the Lambda's too.
        settle_units: The Lambda's.
        read_units: For each create that succeeded.
        dollars_per_million: DynamoDB's price of a million creates.
        least_share: Creates of the process that had the fewest, as a share of the mean.
        core: Mean use of the processes' cores, from 0 to 1; above it, work piles up.
        overshoot: Most entries over a limit, at the end of the window.
    """

    scenario: Scenario
    creates_per_s: float
    p50_ms: float
    p99_ms: float
    errors: float
    calls_per_create: float
    throttled_per_s: float
    conflicts_per_s: float
    flushes_per_s: float
    write_units: float
    settle_units: float
    read_units: float
    dollars_per_million: float
    least_share: float
    core: float
    overshoot: int
