"""The page: one file of HTML that needs nothing else, in light and in dark."""

import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from load.model.assumptions import WRITE_UNITS_PER_S
from load.report import style
from load.report.sections import Section

_VARIABLES: Final[Mapping[str, str]] = {
    style.INK: "var(--ink)",
    style.MUTED: "var(--muted)",
    style.GRID: "var(--grid)",
    style.STRICT: "var(--strict)",
    style.HYBRID: "var(--hybrid)",
    style.BASELINE: "var(--baseline)",
}
"""Colours of the plots that follow the page's."""

_PAGES: Final = Environment(
    loader=PackageLoader("load.report", package_path=""), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)


def to_html(parts: Sequence[Section]) -> str:
    """Return the page."""
    return _PAGES.get_template("page.html.j2").render(
        parts=parts,
        write_units=f"{WRITE_UNITS_PER_S:,.0f}",
        svg=lambda figure, name: Markup(to_svg(figure, name)),  # noqa: S704 - drawn by us, its texts escaped
        is_ours=lambda strategy: style.bar_colour_of(strategy) != style.BASELINE,
    )


def to_svg(figure: Figure, name: str) -> str:
    """Return a figure to be put into a page; the name keeps its ids apart from those of others."""
    file = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    svg = file.getvalue()
    # What only a file of its own needs: the XML declaration and addresses of name spaces.
    svg = (
        svg[svg.index("<svg") :]
        .replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "")
        .replace("xlink:href", "href")
    )
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    title = escape(" ".join(figure.get_suptitle().split()), quote=True)
    return svg.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)
