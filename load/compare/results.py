"""What was measured, as JSON and as one table."""

import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from load.tables import FigureTable


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """One round of one strategy.

    Attributes:
        creates_per_s: Entries made in a second on one account without a limit in the way.
        p50_ms: Latency that half of those requests stayed within, in milliseconds.
        p99_ms: Latency that 99 percent of them stayed within, in milliseconds.
        errors: Answers that are neither yes nor no, with and without a limit in the way.
        overshoot: Most entries over the limit at any instant.
        refused_with_room: Creates that were refused although there was room for all that were under way.
        calls_per_create: DynamoDB calls that the API sent for each create.
        write_units_per_create: Write units that the API used for each.
        read_units_per_create: Read units that the API used for each.
        lambda_writes_per_create: Writes of the Lambda for each, one call and one write unit each.
        exact_after_s: Seconds from the last answer until the exact count was the number of entries; None for never.
    """

    creates_per_s: float
    p50_ms: float
    p99_ms: float
    errors: int
    overshoot: int
    refused_with_room: int
    calls_per_create: float
    write_units_per_create: float
    read_units_per_create: float
    lambda_writes_per_create: float
    exact_after_s: float | None


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """All of one strategy.

    Attributes:
        strategy: Its name.
        what: What it does, in one line.
        rounds: In the order they were played.
        served_in_outage: Share of the creates that succeeded while each write to a counter was throttled.
    """

    strategy: str
    what: str
    rounds: Sequence[Round]
    served_in_outage: float


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """When and where something was measured.

    Attributes:
        started_at: When it began, as ISO 8601 says.
        endpoint: Whether DynamoDB was ``MiniStack``, started for this, or the address of another endpoint.
        processors: Of the machine that ran all of it.
        python: The version of Python that did.
    """

    started_at: str
    endpoint: str = "MiniStack"
    processors: int = msgspec.field(default_factory=lambda: os.cpu_count() or 1)
    python: str = msgspec.field(default_factory=platform.python_version)


class Comparison(Run, frozen=True, kw_only=True):
    """A whole comparison.

    Attributes:
        sizes: How much work it was, as ``phases.Sizes`` has it.
        results: One for each strategy.
    """

    sizes: dict[str, float]
    results: Sequence[Result]


class Summary(Round, frozen=True, kw_only=True):
    """All rounds of one strategy in one: medians, the sum of the errors, and the worst of what should not happen.

    Attributes:
        strategy: Its name.
        served_in_outage: As measured once.
    """

    strategy: str
    served_in_outage: float


_TOGETHER: Final[Mapping[str, Callable[[Sequence[float]], float]]] = {
    "errors": sum,
    "overshoot": max,
    "refused_with_room": max,
}

COLUMNS: Final[Mapping[str, Callable[[Summary], str]]] = {
    "strategy": lambda one: one.strategy,
    "creates/s": lambda one: f"{one.creates_per_s:.0f}",
    "p50 ms": lambda one: f"{one.p50_ms:.1f}",
    "p99 ms": lambda one: f"{one.p99_ms:.1f}",
    "errors": lambda one: str(one.errors),
    "over the limit": lambda one: str(one.overshoot),
    "refused with room": lambda one: str(one.refused_with_room),
    "calls/create": lambda one: f"{one.calls_per_create:.3f}",
    "API's write units/create": lambda one: f"{one.write_units_per_create:.3f}",
    "Lambda's": lambda one: f"{one.lambda_writes_per_create:.3f}",
    "read units/create": lambda one: f"{one.read_units_per_create:.3f}",
    "exact after s": lambda one: "never" if one.exact_after_s is None else f"{one.exact_after_s:.2f}",
    "served in an outage": lambda one: f"{one.served_in_outage:.0%}",
}


def summarise(result: Result) -> Summary:
    """Return what all rounds of a strategy say together; what one of them never reached is None."""
    figures: dict[str, object] = {"strategy": result.strategy, "served_in_outage": result.served_in_outage}
    for name in Round.__struct_fields__:
        values = [getattr(played, name) for played in result.rounds]
        figures[name] = None if None in values else _TOGETHER.get(name, statistics.median)(values)
    return msgspec.convert(figures, Summary)


def to_markdown(comparison: Comparison) -> str:
    """Return one table, and what each strategy does: medians, but the worst round for what should not happen."""
    table = FigureTable.of(COLUMNS, map(summarise, comparison.results))
    return "\n".join([table.to_markdown(), "", *(f"- **{one.strategy}**: {one.what}" for one in comparison.results)])
