"""``./taskw load:report``: the files that figures are kept in, and what it says of those that it cannot use."""

import sys
from pathlib import Path

import pytest

from load.command import FiguresError, write_figures
from load.compare.results import Result
from load.model.questions import SAME_RATE, SATURATED, Findings, ModelReport, Question
from load.model.scenario import ModelStrategy, Scenario
from load.report import __main__ as command
from load.report.measured import BURST_FILE, COMPARE_FILE, MODEL_FILE, read
from tests.unit.tools.measured import all_measured, comparison_of, modelled, recording


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with all files."""
    measured = all_measured()
    write_figures(tmp_path / COMPARE_FILE, measured.comparison)
    write_figures(tmp_path / BURST_FILE, measured.recording)
    tables = (Findings(SATURATED, measured.saturated), Findings(SAME_RATE, measured.same_rate))
    write_figures(tmp_path / MODEL_FILE, ModelReport(measured.seed, tables))
    return tmp_path


class TestFiles:
    """Figures are kept, and drawn again without measuring."""

    def test_what_was_written_is_read(self, folder: Path) -> None:
        assert read(folder) == all_measured()

    @pytest.mark.parametrize(
        ("name", "makes_it"),
        [(COMPARE_FILE, "load:compare"), (BURST_FILE, "load:report"), (MODEL_FILE, "load:model")],
    )
    def test_a_missing_file_names_the_command_that_makes_it(self, folder: Path, name: str, makes_it: str) -> None:
        (folder / name).unlink()
        with pytest.raises(FiguresError, match=f"{name} is not there; ./taskw {makes_it} makes it"):
            read(folder)

    @pytest.mark.parametrize("name", [COMPARE_FILE, BURST_FILE, MODEL_FILE])
    @pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"seed": "x"}', b'{"tables": [], "seed": 0}'])
    def test_a_damaged_file_is_named(self, folder: Path, name: str, content: bytes) -> None:
        (folder / name).write_bytes(content)
        with pytest.raises(FiguresError, match=f"{name} cannot be used"):
            read(folder)

    def test_strategies_without_rounds_are_refused(self, folder: Path) -> None:
        empty = Result(strategy="strict", what="", rounds=[], served_in_outage=0)
        write_figures(folder / COMPARE_FILE, comparison_of(empty))
        with pytest.raises(FiguresError, match="no rounds"):
            read(folder)


class TestCommand:
    """``./taskw load:report``."""

    @staticmethod
    def run(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str) -> int:
        monkeypatch.setattr(command, "FOLDER", folder)
        monkeypatch.setattr(sys, "argv", ["load:report", *arguments])
        return command.main()

    def test_draws_from_files(
        self, monkeypatch: pytest.MonkeyPatch, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.run(monkeypatch, folder, "--from-files", "--images", str(folder / "images")) == 0
        assert capsys.readouterr().out.strip() == str(folder / "report.html")
        assert (folder / "report.html").read_text().startswith("<!DOCTYPE html>")
        assert len(list(folder.glob("*.png"))) == 6
        assert {path.stem for path in (folder / "images").iterdir()} == command.README_PLOTS

    def test_measures_step_by_step_and_keeps_rough_figures_apart(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        asked: list[Scenario] = []

        def answer(question: Question) -> Findings:
            asked.extend(question.scenarios)
            return Findings(question.title, (modelled(ModelStrategy.STRICT, 1),))

        monkeypatch.setattr(command, "compare", lambda _: comparison_of())
        monkeypatch.setattr(command, "record_burst", lambda _: recording().burst)
        monkeypatch.setattr(command, "answer", answer)
        assert self.run(monkeypatch, tmp_path, "--quick") == 0
        steps = [line for line in capsys.readouterr().err.splitlines() if line.startswith("[")]
        assert [line.split("]")[0] for line in steps] == ["[1/4", "[2/4", "[3/4", "[4/4"]
        assert [path.name for path in tmp_path.iterdir()] == ["quick"]
        assert read(tmp_path / "quick").recording.burst == recording().burst
        assert {one.processes for one in asked} == {1, 10}

    def test_a_missing_file_is_one_line_and_a_failure(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.run(monkeypatch, tmp_path, "--from-files") == 1
        *_, line = capsys.readouterr().err.splitlines()
        assert line == f"load:report: {tmp_path / COMPARE_FILE} is not there; ./taskw load:compare makes it."

    def test_rough_figures_do_not_become_the_readmes(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit):
            self.run(monkeypatch, tmp_path, "--quick", "--images", str(tmp_path))
        assert "--images is for good figures" in capsys.readouterr().err
