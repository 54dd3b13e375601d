"""What is on the page: each plot with what it shows, how that came about, and its figures as a table."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from matplotlib.figure import Figure

from load.compare import results
from load.compare.results import Comparison, Summary
from load.model import questions
from load.model.assumptions import READ_DOLLARS, WRITE_DOLLARS, WRITE_UNITS_PER_S
from load.model.scenario import ScenarioResult
from load.report.costs import MILLION, bill_of
from load.report.measured import Measured, Recording
from load.report.model_plots import plot_same_rate, plot_scaling
from load.report.plots import plot_burst, plot_cost, plot_promises, plot_speed, summaries
from load.tables import FigureTable
from load.targets.settling import CONNECTIONS

_DOTS_PER_INCH: Final = 110
_SAMPLES_SHOWN: Final = 20
_MODEL_COLUMNS: Final = (
    *("strategy", "processes", "creates/s", "p50 ms", "p99 ms", "errors"),
    *("write units/create", "read units/create", "$ a million creates"),
)


class Section(NamedTuple):
    """A plot and what belongs to it.

    Attributes:
        name: Its image's name, and its address in the page.
        heading: What it is about.
        is_measured: Whether it was measured; else it was modelled.
        text: What it shows.
        conditions: Where and how that was found.
        figure: The plot.
        table: Its figures.
    """

    name: str
    heading: str
    is_measured: bool
    text: str
    conditions: str
    figure: Figure
    table: FigureTable

    def write_image(self, folder: Path) -> None:
        """Write the plot as PNG, on white; within ``style``."""
        # No version of the library in it: the same figures make the same image.
        path = folder / f"{self.name}.png"
        self.figure.savefig(path, dpi=_DOTS_PER_INCH, facecolor="white", metadata={"Software": None})


def sections(measured: Measured) -> list[Section]:
    """Draw everything; within ``style``."""
    comparison = measured.comparison
    return [
        _speed(comparison),
        _promises(comparison),
        _cost(comparison),
        _burst(measured.recording),
        _scaling(measured),
        _same_rate(measured),
    ]


def _speed(comparison: Comparison) -> Section:
    return Section(
        "speed",
        "Throughput and latency",
        is_measured=True,
        text="Creates on one hot account with no limit in the way, through one API process. All strategies get "
        "the same requests on the same machine, in turns. Medians of the rounds.",
        conditions=_where(comparison),
        figure=plot_speed(comparison),
        table=_summary_table(comparison, ("creates/s", "p50 ms", "p99 ms", "calls/create", "exact after s")),
    )


def _promises(comparison: Comparison) -> Section:
    return Section(
        "promises",
        "The limit, and what callers see",
        is_measured=True,
        text="Several API processes meet a limit: a burst of creates, then room is made and filled again. The table's "
        "stream shows how many entries were over the limit at the worst instant. Refused wrongly is who was told no "
        "while there was room for all. "
        "Worst rounds, and errors of all rounds together. At last, every write to a counter is "
        "throttled for longer than a request's deadline: who is served meanwhile?",
        conditions=_where(comparison),
        figure=plot_promises(comparison),
        table=_summary_table(comparison, ("over the limit", "refused with room", "errors", "served in an outage")),
    )


def _cost(comparison: Comparison) -> Section:
    return Section(
        "cost",
        "Cost of a million creates",
        is_measured=True,
        text=f"Units that each create used when measured, at {WRITE_DOLLARS * MILLION:g} $ a million write units "
        f"and {READ_DOLLARS * MILLION:g} $ a million read units (on demand, us-east-1). "
        "These prices are put in by hand and "
        "looked up nowhere. DynamoDB's requests only: no processes, no Lambda time, no storage. An emulator throttles "
        "nobody, so what that costs is not in it; the model below has it.",
        conditions=_where(comparison),
        figure=plot_cost(comparison),
        table=_summary_table(
            comparison,
            ("API's write units/create", "Lambda's", "read units/create"),
            {"$ a million creates": lambda row: f"{bill_of(row).total:.3f}"},
        ),
    )


def _burst(recording: Recording) -> Section:
    burst = recording.burst
    # The last one is always shown: it is the first that is exact.
    step = max(1, -(-len(burst.samples) // _SAMPLES_SHOWN))
    shown = burst.samples[::-1][::step][::-1]
    return Section(
        "burst",
        "Both counters through a burst",
        is_measured=True,
        text=f"{CONNECTIONS} connections create at full speed on one account, with enforcement strict. Both counters "
        "are read together through the API. best_effort is what admits and refuses; eventual is what the Lambda has "
        f"settled from the stream. {burst.created} creates in {burst.ended_at_s:.2f} s.",
        conditions=_where(recording),
        figure=plot_burst(burst),
        table=FigureTable(
            ("at s", "best_effort", "eventual", "between them"),
            [
                (f"{one.at_s:.2f}", str(one.best_effort), str(one.eventual), str(one.best_effort - one.eventual))
                for one in shown
            ],
        ),
    )


def _scaling(measured: Measured) -> Section:
    callers = measured.saturated[0].scenario.callers
    return Section(
        "scaling",
        "Scaling: callers who never pause",
        is_measured=False,
        text=f"One hot counter, {callers} callers on each process, each sending its next create at the answer. A "
        f"counter's item admits {WRITE_UNITS_PER_S:,.0f} writes a second; what is made of them is the strategy's.",
        conditions=_how(measured),
        figure=plot_scaling(measured.saturated),
        table=_model_table(measured.saturated),
    )


def _same_rate(measured: Measured) -> Section:
    rate_per_s = measured.same_rate[0].scenario.rate_per_s
    return Section(
        "same-rate",
        "Scaling: the same rate on more processes",
        is_measured=False,
        text=f"One hot counter, {rate_per_s:,.0f} creates a second arriving, spread over more and more processes. "
        "Latency is that of what succeeded: who fails most requests can look fast, so look at what is served first.",
        conditions=_how(measured),
        figure=plot_same_rate(measured.same_rate),
        table=_model_table(measured.same_rate),
    )


def _how(measured: Measured) -> str:
    return (
        "The real engine, and the baselines, over a model of DynamoDB's published limits (units a second for each "
        f"partition, transaction conflicts, throttling), in virtual time; seed {measured.seed}. Nothing of it ran on "
        "AWS. Assumptions and sources: docs/evidence/model.md."
    )


def _where(run: Comparison | Recording) -> str:
    work = ""
    if isinstance(run, Comparison):
        work = f" Work: {', '.join(f'{name} {size:g}' for name, size in run.sizes.items())}."
    return (
        f"Begun {run.started_at} on {run.processors} processors, Python {run.python}; DynamoDB is {run.endpoint}. "
        f"API and load, and an emulator if there is one, share the machine.{work}"
    )


def _summary_table(
    comparison: Comparison, names: Sequence[str], more: Mapping[str, Callable[[Summary], str]] | None = None
) -> FigureTable:
    columns = {name: results.COLUMNS[name] for name in ("strategy", *names)} | dict(more or {})
    return FigureTable.of(columns, summaries(comparison))


def _model_table(found: Sequence[ScenarioResult]) -> FigureTable:
    return FigureTable.of({name: questions.COLUMNS[name] for name in _MODEL_COLUMNS}, found)
