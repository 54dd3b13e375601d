"""The plots of what was measured. Each title says what its figures say, whichever way that is."""

from collections.abc import Callable, Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from load.compare.results import Comparison, Summary, summarise
from load.report.costs import Bill, bill_of
from load.report.style import (
    BASELINE,
    INK,
    MUTED,
    STRICT,
    WARNING,
    bar_colour_of,
    log_numbers,
    name_rows,
    new_figure,
    plain_numbers,
    short,
)
from load.targets.settling import Burst

_OURS: Final = ("strict", "hybrid")


def summaries(comparison: Comparison) -> list[Summary]:
    """Return one summary for each strategy: ours first, then the others in the order they were measured."""
    found = {result.strategy: summarise(result) for result in comparison.results}
    return [found[name] for name in _OURS if name in found] + [found[name] for name in found if name not in _OURS]


def plot_speed(comparison: Comparison) -> Figure:
    """Draw creates a second, with each round as a point, and p50 to p99."""
    rows = summaries(comparison)
    figure, (speed, latency) = new_figure(_speed_title(rows), 2, 0.45 * len(rows) + 1.4, same_rows=True)
    rounds = {result.strategy: [one.creates_per_s for one in result.rounds] for result in comparison.results}
    _bars(
        speed, [(row.strategy, row.creates_per_s) for row in rows], short, [max(rounds[row.strategy]) for row in rows]
    )
    for y, row in enumerate(rows):
        played = rounds[row.strategy]
        speed.plot(played, [y] * len(played), "|", color=INK, markersize=9, alpha=0.6)
        colour = bar_colour_of(row.strategy)
        latency.plot([row.p50_ms, row.p99_ms], [y, y], color=colour, linewidth=3)
        latency.plot([row.p50_ms], [y], "o", color=colour, markersize=8)
        latency.plot([row.p99_ms], [y], "D", color=colour, markersize=7)
        latency.annotate(
            f"{short(row.p50_ms)} … {short(row.p99_ms)}",
            (row.p99_ms, y),
            (8, 0),
            textcoords="offset points",
            va="center",
        )
    latency.set_xscale("log")
    latency.set_xlim(min(row.p50_ms for row in rows) / 1.5, max(row.p99_ms for row in rows) * 3.5)
    log_numbers(latency.xaxis)
    plain_numbers(latency, x=True)
    plain_numbers(speed, x=True)
    name_rows(speed, [row.strategy for row in rows])
    latency.grid(visible=False, axis="y")
    speed.set_xlabel("creates a second (bar: median, ticks: rounds)")
    latency.set_xlabel("latency in ms, logarithmic (●: p50, ◆: p99)")
    return figure


def _speed_title(rows: Sequence[Summary]) -> str:
    strict, others = _strict_and_baselines(rows)
    if strict is None or not others:
        return "Creates a second and latency, by strategy"
    best = max(others, key=lambda row: row.creates_per_s)
    return (
        f"Strict makes {strict.creates_per_s / best.creates_per_s:.1f} times the creates of the fastest baseline "
        f"({best.strategy}), with a p99 of {short(strict.p99_ms)} ms against {short(best.p99_ms)} ms"
    )


def plot_burst(burst: Burst) -> Figure:
    """Draw both counters through a burst, and how many entries are between them."""
    times = [sample.at_s for sample in burst.samples]
    ahead = [sample.best_effort - sample.eventual for sample in burst.samples]
    title = (
        f"eventual lags {burst.lag_s_max:.2f} s at most, and is exact {burst.exact_after_s:.2f} s after the last answer"
    )
    figure, (counts, behind) = new_figure(title, 2, 3.4)
    counts.plot(
        times, [sample.best_effort for sample in burst.samples], color=STRICT, linewidth=2.2, label="best_effort"
    )
    counts.plot(
        times,
        [sample.eventual for sample in burst.samples],
        color=WARNING,
        linewidth=1.8,
        linestyle="--",
        drawstyle="steps-post",
        label="eventual",
    )
    counts.set_ylabel("entries counted")
    counts.legend(loc="upper left")
    behind.fill_between(times, ahead, step="post", color=WARNING, alpha=0.35, linewidth=0)
    behind.plot(times, ahead, color=WARNING, linewidth=1, drawstyle="steps-post")
    behind.set_ylabel("best_effort less eventual, entries")
    for axes in (counts, behind):
        axes.axvline(burst.ended_at_s, color=MUTED, linewidth=1, linestyle=":")
        axes.annotate(
            "last answer ",
            (burst.ended_at_s, 0.04 if axes is counts else 0.94),
            xycoords=("data", "axes fraction"),
            ha="right",
            color=MUTED,
        )
        axes.set_xlabel("seconds since the first request")
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=min(0, *ahead))
        plain_numbers(axes, y=True)
    return figure


def plot_promises(comparison: Comparison) -> Figure:
    """Draw what callers notice around the limit and in an outage."""
    rows = summaries(comparison)
    figure, panels = new_figure(_promises_title(rows), 4, 0.4 * len(rows) + 1.4, same_rows=True)
    columns: Sequence[tuple[str, Callable[[Summary], float], Callable[[float], str]]] = (
        ("most entries\nover the limit", lambda row: row.overshoot, short),
        ("refused while\nthere was room", lambda row: row.refused_with_room, short),
        ("errors that\ncallers saw", lambda row: row.errors, short),
        ("creates served while\ncounters are throttled", lambda row: row.served_in_outage, "{:.0%}".format),
    )
    for axes, (name, column, write) in zip(panels, columns, strict=True):
        _bars(axes, [(row.strategy, column(row)) for row in rows], write)
        axes.set_title(name)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
    name_rows(panels[0], [row.strategy for row in rows])
    return figure


def _promises_title(rows: Sequence[Summary]) -> str:
    strict, others = _strict_and_baselines(rows)
    if strict is None:
        return "Around the limit, and in an outage"
    worst = max([row.overshoot for row in others], default=0)
    return (
        f"Strict: {strict.overshoot} over the limit (baselines: up to {worst}), "
        f"{strict.refused_with_room} refused wrongly, {strict.errors} errors"
    )


def plot_cost(comparison: Comparison) -> Figure:
    """Draw what a million creates cost, by what it is spent on."""
    rows = summaries(comparison)
    bills = [bill_of(row) for row in rows]
    figure, (axes,) = new_figure(_cost_title(rows, bills), 1, 0.42 * len(rows) + 1.5)
    left = [0.0] * len(rows)
    parts: Sequence[tuple[str, str, Callable[[Bill], float]]] = (
        ("API's writes", STRICT, lambda bill: bill.api_writes),
        ("Lambda's writes", WARNING, lambda bill: bill.lambda_writes),
        ("API's reads", BASELINE, lambda bill: bill.api_reads),
    )
    for name, colour, part in parts:
        widths = [part(bill) for bill in bills]
        axes.barh(range(len(rows)), widths, left=left, height=0.62, color=colour, label=name)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    for y, bill in enumerate(bills):
        axes.annotate(f"{bill.total:.2f} $", (bill.total, y), (5, 0), textcoords="offset points", va="center")
    name_rows(axes, [row.strategy for row in rows])
    axes.set_xlim(0, 1.12 * max(left) or 1)
    axes.set_xlabel("DynamoDB, US dollars for a million creates")
    figure.legend(loc="outside lower right", ncols=3)
    return figure


def _cost_title(rows: Sequence[Summary], bills: Sequence[Bill]) -> str:
    ours = [bill.total for row, bill in zip(rows, bills, strict=True) if row.strategy == "strict"]
    others = [(bill.total, row.strategy) for row, bill in zip(rows, bills, strict=True) if row.strategy not in _OURS]
    if not ours or not others:
        return "What a million creates cost"
    (least, cheapest), (most, dearest) = min(others), max(others)
    return (
        f"A million creates cost {ours[0]:.2f} $ with strict, "
        f"with the baselines {least:.2f} $ ({cheapest}) to {most:.2f} $ ({dearest})"
    )


def _strict_and_baselines(rows: Sequence[Summary]) -> tuple[Summary | None, list[Summary]]:
    strict = next((row for row in rows if row.strategy == "strict"), None)
    return strict, [row for row in rows if row.strategy not in _OURS]


def _bars(
    axes: Axes, rows: Sequence[tuple[str, float]], write: Callable[[float], str], ends: Sequence[float] | None = None
) -> None:
    """Draw one bar a row, and write its value beside it, or beside the ``ends`` of what else is drawn there."""
    values = [value for _, value in rows]
    ends = ends or values
    axes.barh(range(len(rows)), values, height=0.62, color=[bar_colour_of(name) for name, _ in rows])
    for y, (value, end) in enumerate(zip(values, ends, strict=True)):
        axes.annotate(write(value), (end, y), (6, 0), textcoords="offset points", va="center")
    axes.set_xlim(0, 1.3 * max(ends) or 1)
    axes.grid(visible=False, axis="y")
