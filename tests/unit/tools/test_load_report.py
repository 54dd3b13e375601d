"""The report: what is on the page, that it needs nothing else, and that it shows what was measured."""

import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from load.compare.results import Result
from load.model.scenario import ModelStrategy
from load.report.measured import Measured
from load.report.page import to_html
from load.report.sections import Section, sections
from load.report.style import short, style
from tests.unit.tools.measured import ODD_NAME, STRATEGIES, all_measured, comparison_of, modelled, played


@pytest.fixture(scope="module")
def measured() -> Measured:
    return all_measured()


@pytest.fixture(scope="module")
def parts(measured: Measured) -> dict[str, Section]:
    with style():
        return {part.name: part for part in sections(measured)}


@pytest.fixture(scope="module")
def html(parts: dict[str, Section]) -> str:
    with style():
        return to_html(list(parts.values()))


def rows_of(part: Section) -> dict[str, dict[str, str]]:
    """Return a section's table by row and column."""
    return {row[0]: dict(zip(part.table.header, row, strict=True)) for row in part.table.rows}


class ReportPage(HTMLParser):
    """What a browser sees: tags, ids, and the text outside the style sheet."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.cells: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id" and value]

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.tags and self.tags[-1] in {"td", "th"} and data.strip():
            self.cells.append(data)


class TestPage:
    """One file that needs nothing else."""

    def test_nothing_is_fetched_and_nothing_runs(self, html: str) -> None:
        addresses = {found.rstrip(".") for found in re.findall(r"https?://[^\"'\s<]+", html)}
        assert addresses == {"http://www.w3.org/2000/svg", "https://dynamodb.example/&lt;&amp;&gt;"}
        assert not {"script", "link", "img", "iframe"} & set(ReportPage(html).tags)
        assert "@import" not in html
        assert set(re.findall(r"url\((.)", html)) <= {"#"}

    def test_every_plot_is_there_with_its_table(self, parts: dict[str, Section], html: str) -> None:
        page = ReportPage(html)
        assert list(parts) == ["speed", "promises", "cost", "burst", "scaling", "same-rate"]
        assert page.tags.count("svg") == page.tags.count("table") == len(parts)
        for part in parts.values():
            for row in part.table.rows:
                assert set(row) <= set(page.cells)

    def test_ids_are_unique(self, html: str) -> None:
        ids = ReportPage(html).ids
        assert len(ids) == len(set(ids))

    def test_special_characters_are_text(self, html: str) -> None:
        assert "<check>" not in html
        assert ReportPage(html).text.count(ODD_NAME) >= len(["speed", "promises", "cost"]) * len(["plot", "table"])

    def test_every_strategy_is_named_in_plot_and_table(self, parts: dict[str, Section], html: str) -> None:
        plots = re.findall("<svg.*?</svg>", html, flags=re.DOTALL)
        drawn = {name: "".join(ET.fromstring(svg).itertext()) for name, svg in zip(parts, plots, strict=True)}  # noqa: S314  # our own
        for name, strategies in (("speed", STRATEGIES), ("cost", STRATEGIES), ("scaling", tuple(ModelStrategy))):
            for strategy in strategies:
                assert strategy in drawn[name]
                assert strategy in rows_of(parts[name])

    def test_measured_and_modelled_are_told_apart(self, parts: dict[str, Section], html: str) -> None:
        kinds = {name: part.is_measured for name, part in parts.items()}
        assert {name for name, is_measured in kinds.items() if not is_measured} == {"scaling", "same-rate"}
        assert re.findall('<span class="kind [a-z]+">([a-z]+)</span>', html) == ["measured"] * 4 + ["modelled"] * 2

    def test_it_says_where_and_when(self, parts: dict[str, Section]) -> None:
        for said in (
            "3 processors",
            "Python 3.11.9",
            "2026-01-02T03:04:05",
            "dynamodb.example",
            "rounds 2, seconds 0.5",
        ):
            assert said in parts["speed"].conditions
        assert "2026-01-02T03:05:06" in parts["burst"].conditions
        assert "seed 7" in parts["scaling"].conditions


class TestTables:
    """The figures beside the plots are those that were measured."""

    def test_comparison(self, parts: dict[str, Section]) -> None:
        assert rows_of(parts["speed"])["strict"] == {
            "strategy": "strict",
            "creates/s": "1234",
            "p50 ms": "20.2",
            "p99 ms": "61.5",
            "calls/create": "0.125",
            "exact after s": "0.25",
        }
        assert [row[0] for row in parts["speed"].table.rows] == ["strict", "hybrid", "transactional", ODD_NAME]
        assert rows_of(parts["promises"])[ODD_NAME] == {
            "strategy": ODD_NAME,
            "over the limit": "17",
            "refused with room": "0",
            "errors": "2",
            "served in an outage": "0%",
        }

    def test_a_count_that_once_was_not_exact_never_is(self, parts: dict[str, Section]) -> None:
        assert rows_of(parts["speed"])[ODD_NAME]["exact after s"] == "never"

    def test_cost_is_units_times_prices(self, parts: dict[str, Section]) -> None:
        # 1.1 + 0.1 write units at 0.625 $, 2 read units at 0.125 $.
        assert rows_of(parts["cost"])["strict"]["$ a million creates"] == "1.000"

    def test_burst_shows_some_samples_and_the_exact_one(self, parts: dict[str, Section]) -> None:
        rows = parts["burst"].table.rows
        assert len(rows) <= 20
        assert rows[-1] == ("4.75", "460", "460", "0")
        assert "460 creates in 4.50 s" in parts["burst"].text

    def test_model(self, parts: dict[str, Section]) -> None:
        assert list(parts["same-rate"].table.rows[0]) == [
            "strict",
            "1",
            "987",
            "12",
            "34",
            "12.5%",
            "1.25",
            "0.50",
            "0.84",
        ]


class TestPlots:
    """Each title says what its figures say."""

    def test_titles(self, parts: dict[str, Section]) -> None:
        titles = {name: " ".join(part.figure.get_suptitle().split()) for name, part in parts.items()}
        assert titles["speed"].startswith("Strict makes 1.0 times the creates of the fastest baseline (transactional)")
        assert titles["promises"] == "Strict: 0 over the limit (baselines: up to 17), 0 refused wrongly, 0 errors"
        assert titles["scaling"] == (
            "Modelled: on one hot counter, 200 processes make 987 creates a second with strict, "
            "and 987 with the fastest baseline (transactional)"
        )
        assert titles["burst"] == "eventual lags 0.20 s at most, and is exact 0.25 s after the last answer"

    def test_a_strict_counter_over_its_limit_is_said_so(self, measured: Measured) -> None:
        bad = Result(strategy="strict", what="", rounds=[played(overshoot=4, errors=9)], served_in_outage=0)
        with style():
            _, promises, *_ = sections(measured._replace(comparison=comparison_of(bad)))
        assert promises.figure.get_suptitle().startswith("Strict: 4 over the limit")
        assert promises.figure.get_suptitle().endswith("9 errors")

    def test_without_strict_there_is_nothing_to_claim(self, measured: Measured) -> None:
        only = Result(strategy="sharded", what="", rounds=[played()], served_in_outage=0)
        with style():
            titles = [one.figure.get_suptitle() for one in sections(measured._replace(comparison=comparison_of(only)))]
        assert titles[:3] == [
            "Creates a second and latency, by strategy",
            "Around the limit, and in an outage",
            "What a million creates cost",
        ]

    def test_strategies_that_made_nothing_draw_without_warning(self, measured: Measured) -> None:
        nothing = tuple(modelled(ModelStrategy.TRANSACTIONAL, processes, creates_per_s=0.0) for processes in (1, 10))
        with style():
            drawn = sections(measured._replace(saturated=nothing, same_rate=nothing))
            assert "transactional" in to_html(drawn)

    def test_the_same_figures_make_the_same_images(self, measured: Measured, tmp_path: Path) -> None:
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            with style():
                sections(measured)[0].write_image(tmp_path / name)
        first, second = ((tmp_path / name / "speed.png").read_bytes() for name in ("first", "second"))
        assert first.startswith(b"\x89PNG")
        assert first == second

    @pytest.mark.parametrize(
        ("value", "text"), [(0, "0"), (0.1234, "0.123"), (61.53, "61.5"), (999.7, "1,000"), (61_558, "61,560")]
    )
    def test_labels_are_short(self, value: float, text: str) -> None:
        assert short(value) == text
