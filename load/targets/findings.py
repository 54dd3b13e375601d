"""What a target says and what was measured."""

from collections.abc import Sequence
from typing import Self

import msgspec


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


def to_markdown(measurements: Sequence[Measurement]) -> str:
    """Return a table of all findings, and the notes."""
    lines = ["| target | what | measured | bar | held |", "| --- | --- | --- | --- | --- |"]
    for measurement in measurements:
        lines += [
            f"| {measurement.target} | {one.what} | {one.measured:.3g} | {one.bar} | {_held(one)} |"
            for one in measurement.findings
        ]
    lines.append("")
    lines += [f"- {measurement.target}: {note}" for measurement in measurements for note in measurement.notes]
    return "\n".join(lines)


def _held(finding: Finding) -> str:
    return "yes" if finding.held else "**no**"
