"""Looks into the engine, for what no caller and no store sees: how often a run met states that matter."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from counters.lanes.backlog import BATCH_MAX
from counters.lanes.lane import Lane
from counters.lanes.lease import Stock, StockSettings
from tests.simulation.coverage import Coverage

Probe = Callable[[Coverage, Any, tuple[Any, ...], Any], None]
"""Gets what counts, whose method was called, with what, and what it returned."""


def _stock_put(coverage: Coverage, stock: Any, args: tuple[Any, ...], outcome: object) -> None:  # noqa: ANN401 - white box
    del args, outcome
    _count_stock(coverage, stock, "taken")


def _stock_use(coverage: Coverage, stock: Any, args: tuple[Any, ...], outcome: object) -> None:  # noqa: ANN401 - white box
    del args
    if outcome is not None:
        _count_stock(coverage, stock, "used")


def _stock_empty(coverage: Coverage, stock: Any, args: tuple[Any, ...], outcome: object) -> None:  # noqa: ANN401 - white box
    del stock, args
    if outcome:
        coverage.count("stock given back")


def _stock_wanted(coverage: Coverage, stock: Any, args: tuple[Any, ...], outcome: Any) -> None:  # noqa: ANN401 - white box
    del stock, args
    coverage.is_ahead = outcome > 0


def _count_stock(coverage: Coverage, stock: Any, what: str) -> None:  # noqa: ANN401 - white box
    coverage.count(f"stock {what}")
    if stock._settings == StockSettings():
        coverage.count(f"stock of default settings {what}")


def _drop_outdated(coverage: Coverage, lane: Any, args: tuple[Any, ...], outcome: Any) -> None:  # noqa: ANN401 - white box
    del lane
    if len(outcome) < len(args[1]):
        coverage.count("release of an earlier epoch dropped by its lane")


def _take_batch(coverage: Coverage, lane: Any, args: tuple[Any, ...], outcome: Any) -> None:  # noqa: ANN401 - white box
    del lane
    if args[0] > BATCH_MAX and len(outcome) > BATCH_MAX:
        coverage.count("flush of more than a call")


_PROBES: Final[tuple[tuple[type, str, Probe], ...]] = (
    (Stock, "wanted", _stock_wanted),
    (Stock, "put", _stock_put),
    (Stock, "use", _stock_use),
    (Stock, "empty", _stock_empty),
    (Lane, "_drop_outdated", _drop_outdated),
    (Lane, "_take_batch", _take_batch),
)


@contextmanager
def probed(coverage: Coverage) -> Iterator[None]:
    """Count what the engine does in this process for a while."""
    originals = [(owner, name, getattr(owner, name)) for owner, name, _ in _PROBES]
    for owner, name, probe in _PROBES:
        setattr(owner, name, _with_probe(getattr(owner, name), probe, coverage))
    try:
        yield
    finally:
        for owner, name, original in originals:
            setattr(owner, name, original)


def _with_probe(method: Callable[..., Any], probe: Probe, coverage: Coverage) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, *args: Any) -> Any:  # noqa: ANN401 - any method
        outcome = method(self, *args)
        probe(coverage, self, args, outcome)
        return outcome

    return call
