"""Holds the service to its targets: ``python -m load.targets [TARGET ...] [--json FILE]``.

Progress goes to stderr, one Markdown table to stdout, all figures to the file. Exits with 1 when a target is missed.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from load.command import command, write_figures
from load.targets import cost, idle, memory, scaling, settling, speed
from load.targets.findings import Measurement, to_markdown
from stack.paths import ROOT

JSON_FILE: Final = ROOT / "build" / "load" / "targets.json"

TARGETS: Final[Mapping[str, Callable[[], Measurement]]] = {
    "speed": speed.measure,
    "cost": cost.measure,
    "settling": settling.measure,
    "scaling": scaling.measure,
    "memory": memory.measure,
    "idle": idle.measure,
}


@command("load:targets")
def main() -> int:
    """Measure and print; return the exit status."""
    arguments = _parse(sys.argv[1:])
    measurements = [TARGETS[target]() for target in arguments.targets or TARGETS]
    write_figures(arguments.json, measurements)
    print(to_markdown(measurements))
    return 0 if all(finding.held for one in measurements for finding in one.findings) else 1


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="load:targets", description="Measure what the service is held to.")
    parser.add_argument(
        "targets", nargs="*", metavar="TARGET", help=f"which ones: {', '.join(TARGETS)}; by default all"
    )
    parser.add_argument("--json", type=Path, default=JSON_FILE, help="where all figures go")
    parsed = parser.parse_args(arguments)
    for target in parsed.targets:
        if target not in TARGETS:
            parser.error(f"{target!r} is no target; there are {', '.join(TARGETS)}")
    return parsed


if __name__ == "__main__":
    sys.exit(main())
