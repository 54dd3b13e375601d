"""``./taskw load:model``: asks the model and prints Markdown tables.

The tables also go to ``build/load/model.json``.
"""

import argparse
import logging
import sys
from typing import Final

from load.command import command, progress, write_figures
from load.model.questions import Findings, ModelReport, Question, questions, to_markdown
from load.model.run import run
from stack.paths import ROOT

JSON_FILE: Final = ROOT / "build" / "load" / "model.json"


@command("load:model")
def main() -> int:
    """Do what the command line says; return the exit status."""
    parser = argparse.ArgumentParser(prog="load.model", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="source of all randomness (default: 0)")
    arguments = parser.parse_args()
    # Overload is what many scenarios are about, and each release that is late would be logged.
    logging.getLogger("counters").setLevel(logging.ERROR)
    tables = []
    for question in questions(arguments.seed):
        tables.append(answer(question))
        print(f"{to_markdown(tables[-1])}\n", flush=True)
    write_figures(JSON_FILE, ModelReport(arguments.seed, tuple(tables)))
    return 0


def answer(question: Question) -> Findings:
    """Run a question's scenarios; progress goes to stderr."""
    results = []
    for number, scenario in enumerate(question.scenarios, 1):
        progress(f"{question.title}: {number} of {len(question.scenarios)}: {scenario.strategy}, {scenario.processes}")
        results.append(run(scenario))
    return Findings(question.title, tuple(results))


if __name__ == "__main__":
    sys.exit(main())
