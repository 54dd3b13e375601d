"""What was measured, as JSON and as one table."""

import statistics
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec

_COLUMNS: Final = (
    "",
    "creates/s",
    "p50 ms",
    "p99 ms",
    "errors",
    "over the limit",
    "refused with room",
    "calls/create",
    "write units/create",
    "Lambda's",
    "read units/create",
    "exact after s",
    "served in an outage",
)


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


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The whole run.

    Attributes:
        started_at: When it began, as ISO 8601 says.
        endpoint: Whether DynamoDB was ``MiniStack``, started for this, or the address of another endpoint.
        processors: Of the machine that ran all of it.
        python: The version of Python that did.
        sizes: How much work it was, as ``phases.Sizes`` has it.
        results: One for each strategy.
    """

    started_at: str
    endpoint: str
    processors: int
    python: str
    sizes: dict[str, float]
    results: Sequence[Result]


class Summary(NamedTuple):
    """All rounds of one strategy in one: medians, but what should not happen as often as it did.

    Attributes:
        strategy: Its name.
        creates_per_s: Median.
        p50_ms: Median.
        p99_ms: Median.
        errors: Of all rounds together.
        overshoot: The worst round's.
        refused_with_room: The worst round's.
        calls_per_create: Median.
        write_units_per_create: Median.
        read_units_per_create: Median.
        lambda_writes_per_create: Median.
        exact_after_s: Median, or None when a round never got there.
        served_in_outage: As measured once.
    """

    strategy: str
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
    served_in_outage: float


def summarise(result: Result) -> Summary:
    """Return what all rounds of a strategy say together."""
    rounds = result.rounds

    def median(column: Callable[[Round], float]) -> float:
        return statistics.median(map(column, rounds))

    return Summary(
        strategy=result.strategy,
        creates_per_s=median(lambda played: played.creates_per_s),
        p50_ms=median(lambda played: played.p50_ms),
        p99_ms=median(lambda played: played.p99_ms),
        errors=sum(played.errors for played in rounds),
        overshoot=max(played.overshoot for played in rounds),
        refused_with_room=max(played.refused_with_room for played in rounds),
        calls_per_create=median(lambda played: played.calls_per_create),
        write_units_per_create=median(lambda played: played.write_units_per_create),
        read_units_per_create=median(lambda played: played.read_units_per_create),
        lambda_writes_per_create=median(lambda played: played.lambda_writes_per_create),
        exact_after_s=_exact_after_s(rounds),
        served_in_outage=result.served_in_outage,
    )


def to_markdown(comparison: Comparison) -> str:
    """Return one table, and what each strategy does: medians, but the worst round for what should not happen."""
    lines = [
        f"| {' | '.join(_COLUMNS)} |",
        f"| {' | '.join(['---'] * len(_COLUMNS))} |",
        *map(_row, comparison.results),
        "",
        *(f"- **{result.strategy}**: {result.what}" for result in comparison.results),
    ]
    return "\n".join(lines)


def _row(result: Result) -> str:
    whole = summarise(result)
    cells = [
        whole.strategy,
        f"{whole.creates_per_s:.0f}",
        f"{whole.p50_ms:.0f}",
        f"{whole.p99_ms:.0f}",
        str(whole.errors),
        str(whole.overshoot),
        str(whole.refused_with_room),
        f"{whole.calls_per_create:.2f}",
        f"{whole.write_units_per_create:.2f}",
        f"{whole.lambda_writes_per_create:.3f}",
        f"{whole.read_units_per_create:.2f}",
        "never" if whole.exact_after_s is None else f"{whole.exact_after_s:.1f}",
        f"{whole.served_in_outage:.0%}",
    ]
    return f"| {' | '.join(cells)} |"


def _exact_after_s(rounds: Sequence[Round]) -> float | None:
    """Return the median, unless a round never got there."""
    seconds = [played.exact_after_s for played in rounds if played.exact_after_s is not None]
    return statistics.median(seconds) if len(seconds) == len(rounds) else None
