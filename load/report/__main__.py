"""Makes the report: ``python -m load.report [--from-files] [--quick] [--images FOLDER]``.

Measures and models, keeps the figures under ``build/load/``, and draws ``report.html`` and one PNG for each plot there.
Progress goes to stderr, the page's path to stdout.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from load.command import command, progress, write_figures
from load.compare.__main__ import compare
from load.compare.phases import Sizes
from load.model.__main__ import answer
from load.model.questions import SAME_RATE, SATURATED, ModelReport, questions
from load.report.measured import BURST_FILE, COMPARE_FILE, MODEL_FILE, Recording, read
from load.report.page import to_html
from load.report.sections import sections
from load.report.style import style
from load.targets.settling import record_burst
from stack.paths import ROOT

FOLDER: Final = ROOT / "build" / "load"

README_PLOTS: Final = frozenset({"speed", "burst", "scaling"})

_SEED: Final = 0
_BURST_S: Final = 10.0
_QUICK_BURST_S: Final = 2.0
_QUICK_SIZES: Final = Sizes(rounds=1, seconds=0.5, burst=600, churns=1, outage_s=6.0)
_QUICK_PROCESSES: Final = 10


class _Step(NamedTuple):
    what: str
    file: str
    measure: Callable[[], msgspec.Struct]


@command("load:report")
def main() -> int:
    """Do what the command line says; return the exit status."""
    arguments = _parse(sys.argv[1:])
    # Quick figures never take the place of good ones.
    folder = FOLDER / "quick" if arguments.quick else FOLDER
    steps = [] if arguments.from_files else _steps(quick=arguments.quick)
    for number, step in enumerate(steps, 1):
        progress(f"[{number}/{len(steps) + 1}] {step.what}")
        write_figures(folder / step.file, step.measure())
    progress(f"[{len(steps) + 1}/{len(steps) + 1}] drawing")
    _draw(folder, arguments.images)
    print(folder / "report.html")
    return 0


def _steps(*, quick: bool) -> list[_Step]:
    sizes, burst_s = (_QUICK_SIZES, _QUICK_BURST_S) if quick else (Sizes(), _BURST_S)
    return [
        _Step("comparing all strategies", COMPARE_FILE, lambda: compare(sizes)),
        _Step(f"a burst of {burst_s:.0f} s", BURST_FILE, lambda: _record(burst_s)),
        _Step("modelling DynamoDB's limits", MODEL_FILE, lambda: _model(quick=quick)),
    ]


def _record(seconds: float) -> Recording:
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    return Recording(started_at=started_at, burst=record_burst(seconds))


def _model(*, quick: bool) -> ModelReport:
    asked = list(questions(_SEED))
    if quick:
        few = [one for one in asked if one.title in {SATURATED, SAME_RATE}]
        asked = [
            one._replace(scenarios=[each for each in one.scenarios if each.processes <= _QUICK_PROCESSES])
            for one in few
        ]
    return ModelReport(_SEED, tuple(map(answer, asked)))


def _draw(folder: Path, images: Path | None) -> None:
    measured = read(folder)
    if images is not None:
        images.mkdir(parents=True, exist_ok=True)
    with style():
        parts = sections(measured)
        (folder / "report.html").write_text(to_html(parts), encoding="utf-8")
        for part in parts:
            part.write_image(folder)
            if images is not None and part.name in README_PLOTS:
                part.write_image(images)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="load:report", description="Measure, model, and draw one page of it all.")
    parser.add_argument("--from-files", action="store_true", help="only draw, from the figures of an earlier run")
    parser.add_argument("--quick", action="store_true", help="try it out: rough figures, in a folder of their own")
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="where copies of the README's plots go")
    parsed = parser.parse_args(arguments)
    if parsed.quick and parsed.images:
        parser.error("--images is for good figures, and --quick makes rough ones")
    return parsed


if __name__ == "__main__":
    sys.exit(main())
