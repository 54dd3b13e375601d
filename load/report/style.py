"""What all plots have in common: colours that colour-blind readers can tell apart, type, and frames."""

import textwrap
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Final, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

INK: Final = "#1f2933"
MUTED: Final = "#5f6c7b"
GRID: Final = "#dfe4ea"
STRICT: Final = "#0072b2"
HYBRID: Final = "#009e73"
BASELINE: Final = "#98a4b1"
WARNING: Final = "#d55e00"
"""Okabe and Ito's colours, and greys."""

_WIDTH_INCHES: Final = 8.4
_ROUNDS_TO_THOUSAND: Final = 999.5
_TITLE_CHARACTERS: Final = 88


class LineStyle(NamedTuple):
    """How a strategy's line looks.

    Attributes:
        colour: Its colour.
        marker: Its points; lines can be told apart without any colour.
        width: In points.
        dashes: Its line style.
    """

    colour: str
    marker: str
    width: float = 1.3
    dashes: str = "--"


_LINES: Final = {
    # Where both are the same, both are seen.
    "strict": LineStyle(STRICT, "o", 2.0, "-"),
    "hybrid": LineStyle(HYBRID, "s", 4.5, "-"),
    "transactional": LineStyle(WARNING, "^"),
    "transactional, 5 tries": LineStyle("#cc79a7", "v"),
    "conditional": LineStyle("#56b4e9", "P"),
    "read-check": LineStyle("#b8860b", "D"),
    "sharded": LineStyle(MUTED, "X"),
}


def line_of(strategy: str) -> LineStyle:
    """Return how a strategy's line looks."""
    return _LINES.get(strategy, LineStyle(BASELINE, "."))


def bar_colour_of(strategy: str) -> str:
    """Return the colour of a strategy's bar, which has its name beside it: only ours stand out."""
    return {"strict": STRICT, "hybrid": HYBRID}.get(strategy, BASELINE)


def new_figure(title: str, panels: int, height_inches: float, *, same_rows: bool = False) -> tuple[Figure, list[Axes]]:
    """Return a figure with panels side by side; ``same_rows`` when they share their vertical axis."""
    figure = Figure(figsize=(_WIDTH_INCHES, height_inches), layout="constrained")
    figure.suptitle(textwrap.fill(title, _TITLE_CHARACTERS), x=0.01, ha="left", fontsize=11.5, fontweight="bold")
    axes = [figure.add_subplot(1, panels, 1)]
    axes += [figure.add_subplot(1, panels, n, sharey=axes[0] if same_rows else None) for n in range(2, panels + 1)]
    for others in axes[1:] if same_rows else []:
        others.tick_params(axis="y", labelleft=False, length=0)
    return figure, axes


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Write strategies beside the bars, the first on top, ours in bold."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.grid(visible=False, axis="y")
    for label in axes.get_yticklabels():
        if bar_colour_of(label.get_text()) != BASELINE:
            label.set_fontweight("bold")


def plain_numbers(axes: Axes, *, x: bool = False, y: bool = False) -> None:
    """Write an axis's numbers as 1, 10, 1,000 and not as powers."""
    for axis, wanted in ((axes.xaxis, x), (axes.yaxis, y)):
        if wanted:
            axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))


def log_numbers(axis: Axis) -> None:
    """Name enough numbers of a logarithmic axis, also when it spans little."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))


def short(value: float) -> str:
    """Return a number for a label: 1,234 or 12.3 or 0.12."""
    if value >= _ROUNDS_TO_THOUSAND:
        return f"{float(f'{value:.4g}'):,.0f}"
    return f"{value:.3g}"


def style() -> AbstractContextManager[None]:
    """Let all figures that are drawn and saved meanwhile look the same."""
    return mpl.rc_context(
        {
            "font.family": "sans-serif",
            "font.sans-serif": ["DejaVu Sans"],
            "font.size": 9.5,
            "text.color": INK,
            # A dollar sign is one.
            "text.parse_math": False,
            "axes.labelcolor": MUTED,
            "axes.edgecolor": BASELINE,
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": 10,
            "axes.titlelocation": "left",
            "grid.color": GRID,
            "grid.linewidth": 0.8,
            "xtick.color": MUTED,
            "ytick.color": MUTED,
            "legend.frameon": False,
            "svg.fonttype": "none",
            # The same figures make the same file.
            "svg.hashsalt": "load.report",
        }
    )
