"""The plots of what was modelled: how each strategy scales with the number of processes."""

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from load.model.scenario import ENGINE, ModelStrategy, ScenarioResult
from load.report.style import line_of, log_numbers, new_figure, plain_numbers, short


def plot_scaling(saturated: Sequence[ScenarioResult]) -> Figure:
    """Draw creates a second, and the share of errors, by processes whose callers never pause."""
    figure, (speed, errors) = new_figure(_scaling_title(saturated), 2, 3.9)
    _lines(speed, saturated, lambda one: one.creates_per_s)
    _log_scale(speed, saturated)
    speed.set_title("creates a second (logarithmic)")
    _lines(errors, saturated, lambda one: 100 * one.errors)
    errors.set_ylim(-4, 104)
    errors.set_title("answers that are errors, percent")
    figure.legend(*speed.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def _scaling_title(results: Sequence[ScenarioResult]) -> str:
    most = max(one.scenario.processes for one in results)
    at_most = [one for one in results if one.scenario.processes == most]
    strict = [one for one in at_most if one.scenario.strategy is ModelStrategy.STRICT]
    others = [one for one in at_most if one.scenario.strategy not in ENGINE]
    if not strict or not others:
        return "Modelled: one hot counter, by processes"
    best = max(others, key=lambda one: one.creates_per_s)
    return (
        f"Modelled: on one hot counter, {most} processes make {short(strict[0].creates_per_s)} creates a second with "
        f"strict, and {short(best.creates_per_s)} with the fastest baseline ({best.scenario.strategy})"
    )


def plot_same_rate(same_rate: Sequence[ScenarioResult]) -> Figure:
    """Draw what is served, how late, and what it costs, when one rate is spread over more and more processes."""
    figure, (served, late, cost) = new_figure(_same_rate_title(same_rate), 3, 3.9)
    _lines(served, same_rate, lambda one: one.creates_per_s)
    served.set_ylim(bottom=0)
    served.set_title("creates a second\n")
    _lines(late, same_rate, lambda one: one.p99_ms)
    late.set_title("p99 of what succeeded\n(ms, logarithmic)")
    _lines(cost, same_rate, lambda one: one.dollars_per_million)
    cost.set_title("US dollars for a million\ncreates (logarithmic)")
    plain_numbers(served, y=True)
    for axes in (late, cost):
        _log_scale(axes, same_rate)
    figure.legend(*served.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def _same_rate_title(results: Sequence[ScenarioResult]) -> str:
    strict = [one for one in results if one.scenario.strategy is ModelStrategy.STRICT]
    if not strict:
        return "Modelled: one hot counter, the same rate however many processes"
    dollars = [one.dollars_per_million for one in strict]
    late = [one.p99_ms for one in strict]
    return (
        f"Modelled: {strict[0].scenario.rate_per_s:,.0f} creates a second with strict, "
        f"{min(dollars):.2f} to {max(dollars):.2f} $ a million, p99 {min(late):.0f} to {max(late):.0f} ms"
    )


def _lines(axes: Axes, results: Sequence[ScenarioResult], value: Callable[[ScenarioResult], float]) -> None:
    """Draw one line a strategy; where nothing was created there is nothing to draw."""
    processes = sorted({one.scenario.processes for one in results})
    for strategy in dict.fromkeys(str(one.scenario.strategy) for one in results):
        points = [one for one in results if one.scenario.strategy == strategy and one.creates_per_s > 0]
        look = line_of(strategy)
        axes.plot(
            [one.scenario.processes for one in points],
            [value(one) for one in points],
            color=look.colour,
            marker=look.marker,
            linewidth=look.width,
            linestyle=look.dashes,
            label=strategy,
            # The baselines stay behind.
            zorder=3 - look.width / 10 if look.dashes == "-" else 2,
        )
    axes.set_xscale("log")
    axes.set_xticks(processes, [str(number) for number in processes])
    axes.minorticks_off()
    axes.set_xlabel("API processes")


def _log_scale(axes: Axes, results: Sequence[ScenarioResult]) -> None:
    """Make the vertical axis logarithmic, which it can only be when there is something to draw."""
    if any(one.creates_per_s > 0 for one in results):
        axes.set_yscale("log")
        log_numbers(axes.yaxis)
    plain_numbers(axes, y=True)
