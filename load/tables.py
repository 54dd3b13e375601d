"""Figures as tables: of one row for each thing that was measured."""

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Self, TypeVar

from rich import box
from rich.console import Console
from rich.table import Table

T = TypeVar("T")

_WIDTH_MAX: Final = 500


class FigureTable(NamedTuple):
    """Figures to read.

    Attributes:
        header: Names of the columns, with units.
        rows: Their cells; the first of each says what it is about.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    @classmethod
    def of(cls, columns: Mapping[str, Callable[[T], str]], things: Iterable[T]) -> Self:
        """Return the table of some things.

        Args:
            columns: By name, what makes a thing's cell.
            things: One for each row.
        """
        return cls([*columns], [[cell(thing) for cell in columns.values()] for thing in things])

    def to_markdown(self) -> str:
        """Return it as Markdown, one line a row."""
        grid = Table(*self.header, box=box.MARKDOWN)
        for row in self.rows:
            grid.add_row(*row)
        text = io.StringIO()
        Console(file=text, width=_WIDTH_MAX, markup=False, emoji=False, highlight=False).print(grid)
        return "\n".join(line.strip() for line in text.getvalue().strip().splitlines())
