"""Makes a failing run smaller: the same seed with less in it, as long as the same promise is broken."""

from collections.abc import Callable, Iterator
from typing import Final, TypeVar

import msgspec

from tests.simulation.options import Options
from tests.simulation.simulation import RunReport, run

T = TypeVar("T")

_FEATURES: Final = (
    "accounts_change",
    "enforcement_changes",
    "limits_change",
    "renames",
    "together",
    "crowd",
    "reuse_share",
)
"""What a run may be without, as far as its faults do not need it."""

RUNS_MAX: Final = 600
"""Most runs spent on one failure; about half a minute."""


class Shrinker:
    """Greedy: takes every smaller variant that still fails."""

    def __init__(self, options: Options, report: RunReport, play: Callable[[Options], RunReport] = run) -> None:
        self._play = play
        self._runs = 0
        self.options = options
        self.report = report

    def shrink(self) -> Options:
        """Return the smallest options found."""
        is_smaller = True
        while is_smaller and self._runs < RUNS_MAX:
            before = self.options
            self._try_all(_simpler)
            self._leave_out_faults()
            self._leave_out_operations()
            is_smaller = self.options != before
        return self.options

    def _try_all(self, variants: Callable[[Options], Iterator[Options]]) -> None:
        again = True
        while again:
            again = any(self._fails(variant) for variant in variants(self.options))

    def _leave_out_faults(self) -> None:
        """Leave faults out, many at a time and then one by one."""

        def without(places: list[str]) -> Options:
            return msgspec.structs.replace(
                self.options, faults_left_out=self.options.faults_left_out | frozenset(places)
            )

        self._leave_out(lambda: self.report.places, without)

    def _leave_out_operations(self) -> None:
        def without(numbers: list[str]) -> Options:
            left_out = self.options.operations_left_out | frozenset(numbers)
            return msgspec.structs.replace(self.options, operations_left_out=left_out)

        self._leave_out(lambda: self.report.steps, without)

    def _leave_out(self, things: Callable[[], list[str]], without: Callable[[list[str]], Options]) -> None:
        size = max(1, len(things()) // 2)
        while True:
            position = 0
            while position < len(part := things()):
                if not self._fails(without(part[position : position + size])):
                    position += size
                if self._runs >= RUNS_MAX:
                    return
            if size == 1:
                return
            size //= 2

    def _fails(self, options: Options) -> bool:
        if self._runs >= RUNS_MAX or options == self.options:
            return False
        self._runs += 1
        report = self._play(options)
        if report.rule != self.report.rule:
            return False
        self.options, self.report = options, report
        return True


def _simpler(options: Options) -> Iterator[Options]:
    """Return variants with less of one thing."""
    replace = msgspec.structs.replace
    for name in _FEATURES:
        if getattr(options, name):
            yield replace(options, **{name: type(getattr(options, name))(0)})
    if options.amounts != (1,):
        yield replace(options, amounts=(1,))
    if len(options.deadlines_s) > 1:
        yield replace(options, deadlines_s=options.deadlines_s[:1])
    for name in ("clients", "processes", "counters", "slots", "operators"):
        if getattr(options, name) > 1:
            yield replace(options, **{name: 1})
            yield replace(options, **{name: getattr(options, name) - 1})
    for number in range(len(options.lulls_s) if len(options.lulls_s) > 1 else 0):
        yield replace(options, lulls_s=options.lulls_s[:number] + options.lulls_s[number + 1 :])
    if options.steps > 1:
        yield replace(options, steps=options.steps // 2)
        yield replace(options, steps=options.steps - 1)
    for fault in options.rates:
        yield replace(options, rates={kind: rate for kind, rate in options.rates.items() if kind is not fault})
