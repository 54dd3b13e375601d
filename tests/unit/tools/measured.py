"""Makers of figures that nobody measured, for whoever draws them."""

import msgspec

from load.compare.results import Comparison, Result, Round
from load.model import scenario
from load.model.scenario import ModelStrategy, Scenario
from load.report.measured import Measured, Recording
from load.targets.settling import Burst, Sample

ODD_NAME = 'read & <check> "$1 $2"'
STRATEGIES = ("transactional", ODD_NAME, "hybrid", "strict")


def played(**changes: float | None) -> Round:
    """Return a round without anything that should not happen."""
    figures = {
        "creates_per_s": 1234.4,
        "p50_ms": 20.25,
        "p99_ms": 61.5,
        "errors": 0,
        "overshoot": 0,
        "refused_with_room": 0,
        "calls_per_create": 0.125,
        "write_units_per_create": 1.1,
        "read_units_per_create": 2.0,
        "lambda_writes_per_create": 0.1,
        "exact_after_s": 0.25,
    }
    return msgspec.convert({**figures, **changes}, Round)


def comparison_of(*results: Result) -> Comparison:
    """Return a comparison; by default all strategies do the same, but the odd one goes over the limit."""
    rounds = {name: [played()] for name in STRATEGIES}
    rounds[ODD_NAME] = [played(overshoot=17), played(overshoot=3, exact_after_s=None, errors=2)]
    by_default = [
        Result(strategy=name, what="", rounds=rounds[name], served_in_outage=float(name == "hybrid"))
        for name in STRATEGIES
    ]
    return Comparison(
        started_at="2026-01-02T03:04:05+00:00",
        endpoint="https://dynamodb.example/<&>",
        processors=3,
        python="3.11.9",
        sizes={"rounds": 2, "seconds": 0.5},
        results=results or by_default,
    )


def recording() -> Recording:
    """Return a burst with more samples than the page's table shows."""
    samples = [Sample(at_s=n / 10, best_effort=10 * n, eventual=10 * max(0, n - 3)) for n in range(47)]
    return Recording(
        started_at="2026-01-02T03:05:06+00:00",
        endpoint="MiniStack",
        processors=3,
        python="3.11.9",
        burst=Burst(created=460, ended_at_s=4.5, samples=[*samples, Sample(4.75, 460, 460)]),
    )


def modelled(strategy: ModelStrategy, processes: int, creates_per_s: float = 987.0) -> scenario.ScenarioResult:
    """Return a run of the model."""
    return scenario.ScenarioResult(
        scenario=Scenario(strategy=strategy, processes=processes, rate_per_s=1500.0),
        creates_per_s=creates_per_s,
        p50_ms=12.0,
        p99_ms=34.0,
        errors=0.125,
        calls_per_create=1.0,
        throttled_per_s=0.0,
        conflicts_per_s=0.0,
        flushes_per_s=1.0,
        write_units=1.25,
        settle_units=0.0,
        read_units=0.5,
        dollars_per_million=0.84,
        least_share=1.0,
        core=0.5,
        overshoot=0,
    )


def all_measured() -> Measured:
    """Return something of everything."""
    results = tuple(modelled(strategy, processes) for strategy in ModelStrategy for processes in (1, 200))
    return Measured(comparison_of(), recording(), seed=7, saturated=results, same_rate=results)
