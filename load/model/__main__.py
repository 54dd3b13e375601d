"""``./taskw load:model``: asks the model and prints Markdown tables; with ``check`` holds it against the emulator.

The tables also go to ``build/load/model.json``.
"""

import argparse
import logging
import sys
from pathlib import Path
from typing import Final

import msgspec

from load.model.check import check
from load.model.questions import Findings, ModelReport, Question, questions, to_markdown
from load.model.run import run
from stack.paths import ROOT

JSON_FILE: Final = ROOT / "build" / "load" / "model.json"


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="load.model", description=__doc__)
    parser.add_argument("what", nargs="?", choices=("tables", "check"), default="tables")
    parser.add_argument("--seed", type=int, default=0, help="source of all randomness (default: 0)")
    arguments = parser.parse_args()
    if arguments.what == "check":
        _hush_engine()
        print(check())
    else:
        _write(ModelReport(arguments.seed, tuple(_show(question) for question in questions(arguments.seed))), JSON_FILE)


def answer(question: Question) -> Findings:
    """Run a question's scenarios; progress goes to stderr."""
    _hush_engine()
    results = []
    for number, scenario in enumerate(question.scenarios, 1):
        progress = f"{number} of {len(question.scenarios)}: {scenario.strategy}, {scenario.processes} processes"
        print(f"{question.title}: {progress}", file=sys.stderr, flush=True)
        results.append(run(scenario))
    return Findings(question.title, tuple(results))


def _show(question: Question) -> Findings:
    findings = answer(question)
    print(f"{to_markdown(findings)}\n", flush=True)
    return findings


def _hush_engine() -> None:
    """Log errors only: overload is what many scenarios are about, and each release that is late would be logged."""
    logging.getLogger("counters").setLevel(logging.ERROR)


def _write(report: ModelReport, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report)))


if __name__ == "__main__":
    main()
