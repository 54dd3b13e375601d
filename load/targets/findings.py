"""What a target says and what was measured."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Self

import msgspec

from load.tables import FigureTable


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One figure and the bar that it is held to.

    Attributes:
        what: What was measured, with its unit.
        measured: The figure.
        bar: What it has to be.
        held: Whether it is.
    """

    what: str
    measured: float
    bar: str
    held: bool

    @classmethod
    def at_least(cls, what: str, measured: float, least: float) -> Self:
        """Return the finding for a figure that must not be below a bar."""
        return cls(what=what, measured=measured, bar=f"at least {least:g}", held=measured >= least)

    @classmethod
    def at_most(cls, what: str, measured: float, most: float) -> Self:
        """Return the finding for a figure that must not be above a bar."""
        return cls(what=what, measured=measured, bar=f"at most {most:g}", held=measured <= most)


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """What one target's measurement found.

    Attributes:
        target: Its name.
        findings: Its figures and bars.
        notes: Other figures that say how they came about.
    """

    target: str
    findings: Sequence[Finding]
    notes: Sequence[str] = ()


_COLUMNS: Final[Mapping[str, Callable[[tuple[Measurement, Finding]], str]]] = {
    "target": lambda one: one[0].target,
    "what": lambda one: one[1].what,
    "measured": lambda one: f"{one[1].measured:.3g}",
    "bar": lambda one: one[1].bar,
    "held": lambda one: "yes" if one[1].held else "**no**",
}


def to_markdown(measurements: Sequence[Measurement]) -> str:
    """Return a table of all findings, and the notes."""
    rows = [(measurement, finding) for measurement in measurements for finding in measurement.findings]
    notes = [f"- {measurement.target}: {note}" for measurement in measurements for note in measurement.notes]
    return "\n".join([FigureTable.of(_COLUMNS, rows).to_markdown(), "", *notes])
