"""The page: one file of HTML that needs nothing else, in light and in dark."""

import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

from matplotlib.figure import Figure

from load.model.assumptions import WRITE_UNITS_PER_S
from load.report import style
from load.report.sections import FigureTable, Section

_VARIABLES: Final[Mapping[str, str]] = {
    style.INK: "var(--ink)",
    style.MUTED: "var(--muted)",
    style.GRID: "var(--grid)",
    style.STRICT: "var(--strict)",
    style.HYBRID: "var(--hybrid)",
    style.BASELINE: "var(--baseline)",
}
"""Colours of the plots that follow the page's."""

_CSS: Final = """
:root {
  color-scheme: light dark;
  --page: #ffffff; --card: #f7f9fb; --ink: #1f2933; --muted: #5f6c7b; --grid: #dfe4ea;
  --strict: #0072b2; --hybrid: #009e73; --baseline: #98a4b1; --modelled: #8a4b00;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14181d; --card: #1b2128; --ink: #e6eaee; --muted: #a3afbb; --grid: #323b45;
    --strict: #4ba3e0; --hybrid: #2fc49a; --baseline: #76828f; --modelled: #f0b060;
  }
}
body {
  margin: 0 auto; padding: 2rem 1.2rem 4rem; max-width: 60rem;
  background: var(--page); color: var(--ink); font: 1rem/1.55 system-ui, sans-serif;
}
h1 { margin: 0 0 .4rem; font-size: 1.8rem; }
h2 { margin: 0; font-size: 1.25rem; }
p { margin: .5rem 0; max-width: 46rem; }
nav ul { margin: .8rem 0; padding: 0; list-style: none; }
a { color: var(--strict); }
section { margin-top: 3rem; }
.kind {
  margin-left: .5rem; padding: .1rem .55rem; border: 1px solid currentColor; border-radius: 1rem;
  color: var(--hybrid); font-size: .75rem; font-weight: 600; vertical-align: .15rem;
}
.kind.modelled { color: var(--modelled); }
.conditions { color: var(--muted); font-size: .85rem; }
figure { margin: 1rem 0; padding: .8rem; border-radius: .6rem; background: var(--card); overflow-x: auto; }
svg { display: block; width: 100%; min-width: 38rem; height: auto; }
svg text { font-family: "DejaVu Sans", Verdana, system-ui, sans-serif !important; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--grid); text-align: right; white-space: nowrap; }
thead th { max-width: 6.5rem; color: var(--muted); font-weight: 600; vertical-align: bottom; white-space: normal; }
tbody th { font-weight: 400; }
th:first-child { text-align: left; }
tr.ours > * { font-weight: 600; }
"""

_INTRO: Final = f"""
<h1>Distributed counter: what it buys</h1>
<p>Strict and hybrid, this service's two ways to keep a limit, beside what AWS's guides recommend.
<b>Measured</b> figures were taken on one machine that also ran the load, so ratios between strategies say more than any
figure by itself, and busy neighbours show. <b>Modelled</b> ones are for what no emulator has: DynamoDB's limits,
{WRITE_UNITS_PER_S:,.0f} write units a second for each partition among them. Nothing here was measured on AWS, unless an
address of AWS stands below the plot.</p>
"""


def to_html(parts: Sequence[Section]) -> str:
    """Return the page."""
    links = "".join(f'<li><a href="#{part.name}">{escape(part.heading)}</a></li>' for part in parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Distributed counter: report</title>\n<style>{_CSS}</style>\n</head>\n<body>\n"
        f"{_INTRO}<nav><ul>{links}</ul></nav>\n{''.join(map(_section, parts))}</body>\n</html>\n"
    )


def _section(part: Section) -> str:
    kind = "measured" if part.is_measured else "modelled"
    return (
        f'<section id="{part.name}">\n<h2>{escape(part.heading)}<span class="kind {kind}">{kind}</span></h2>\n'
        f"<p>{escape(part.text)}</p>\n<figure>{to_svg(part.figure, part.name)}</figure>\n{_table(part.table)}\n"
        f'<p class="conditions">{escape(part.conditions)}</p>\n</section>\n'
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


def _table(table: FigureTable) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.header)
    rows = "".join(_row(cells) for cells in table.rows)
    return f'<div class="table"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>'


def _row(cells: Sequence[str]) -> str:
    first, *others = cells
    mark = ' class="ours"' if style.bar_colour_of(first) != style.BASELINE else ""
    return (
        f'<tr{mark}><th scope="row">{escape(first)}</th>'
        + "".join(f"<td>{escape(one)}</td>" for one in others)
        + "</tr>\n"
    )
