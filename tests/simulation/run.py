"""Plays many seeds on all processors: ``python -m tests.simulation.run --seeds 10000 --first 0``.

With one failing seed, its history is made as short as possible and printed.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter as Tally
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Final

import msgspec

from tests.simulation.coverage import MET
from tests.simulation.options import draw_options
from tests.simulation.shrink import Shrinker
from tests.simulation.simulation import RunReport, run

_CHUNK: Final = 25
_FAILURES_MAX: Final = 5
"""Failing seeds after which playing on tells nothing new."""


class Total(msgspec.Struct):
    """The sum of many runs.

    Attributes:
        seeds: How many were played.
        failures: Seeds that failed, and how.
        operations: How many of each kind, with their ends.
        faults: How many of each kind.
        healed: How many healings were applied.
        met: How often states that matter were met, and how often each kind of fault struck each kind of call.
        virtual_s: Virtual time, in seconds.
        wall_s: Real time, in seconds.
    """

    seeds: int = 0
    failures: dict[int, str] = {}
    operations: Tally[str] = Tally()
    faults: Tally[str] = Tally()
    healed: int = 0
    met: Tally[str] = Tally()
    virtual_s: float = 0.0
    wall_s: float = 0.0

    def add(self, seed: int, report: RunReport) -> None:
        """Add one run."""
        self.seeds += 1
        if report.failure is not None:
            self.failures[seed] = report.failure
        self.operations.update(report.operations)
        self.faults.update(report.faults)
        self.healed += report.healed
        self.met.update(report.met)
        self.virtual_s += report.virtual_s

    @property
    def states(self) -> "Tally[str]":
        """How often each state that matters was met."""
        return Tally({name: self.met[name] for name in MET})

    @property
    def struck(self) -> "Tally[str]":
        """How often each kind of fault struck each kind of call."""
        return Tally({name: number for name, number in self.met.items() if name not in MET})

    def __str__(self) -> str:
        by_kind: Tally[str] = Tally()
        for operation, number in self.operations.items():
            by_kind[operation.partition(" ")[0]] += number
        rate, virtual_h = self.seeds / max(self.wall_s, 0.001), self.virtual_s / 3600
        return "\n".join([
            f"{self.seeds} seeds in {self.wall_s:.0f} s ({rate:.0f} a second), {virtual_h:.0f} virtual hours",
            f"operations  {by_kind.total()}: {_list(by_kind)}",
            f"faults      {self.faults.total()}: {_list(self.faults)}",
            f"healings    {self.healed}",
            f"met         {_list(self.states)}",
            f"struck      {_list(self.struck)}",
            f"failures    {len(self.failures)}",
        ])  # fmt: skip


def play(seeds: Iterable[int], workers: int) -> Total:
    """Play seeds on several processors, until all are played or a few have failed."""
    total = Total()
    started = time.perf_counter()
    # Spawned, so that no worker inherits a half-built state of this process.
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for part in pool.imap(_play_some, _chunks(seeds)):
            for seed, report in part:
                total.add(seed, report)
            if len(total.failures) >= _FAILURES_MAX:
                break
    total.wall_s = time.perf_counter() - started
    return total


def explain(seed: int) -> str:
    """Return the shortest history found that breaks the same promise as this seed does."""
    options = draw_options(seed)
    report = run(options)
    if report.failure is None:
        return f"seed {seed} keeps every promise"
    smallest = Shrinker(options, report).shrink()
    shown = run(smallest, is_read=True)
    options_shown = msgspec.structs.replace(smallest, faults_left_out=frozenset(), operations_left_out=frozenset())
    return "\n".join([f"seed {seed}: {shown.failure}", str(options_shown), *map(str, shown.lines)])


def _play_some(seeds: list[int]) -> list[tuple[int, RunReport]]:
    return [(seed, run(draw_options(seed))) for seed in seeds]


def _chunks(seeds: Iterable[int]) -> Iterator[list[int]]:
    rest = iter(seeds)
    return iter(partial(lambda: list(islice(rest, _CHUNK))), [])


def _list(tally: "Tally[str]") -> str:
    return ", ".join(f"{kind} {number}" for kind, number in sorted(tally.items()))


def main() -> int:
    """Play the seeds that the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(description="Play simulated histories of the whole system.")
    parser.add_argument("--seeds", type=int, default=1000, help="how many (default 1000)")
    parser.add_argument("--first", type=int, default=0, help="the first one (default 0)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="how many processes (default: all)")
    arguments = parser.parse_args()
    total = play(range(arguments.first, arguments.first + arguments.seeds), arguments.workers)
    sys.stdout.write(f"{total}\n")
    for seed, failure in total.failures.items():
        sys.stdout.write(f"seed {seed} failed: {failure}\n")
    if total.failures:
        sys.stdout.write(f"\n{explain(min(total.failures))}\n")
    return 1 if total.failures else 0


if __name__ == "__main__":
    sys.exit(main())
