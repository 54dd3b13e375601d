"""Looks into the engine, for what no caller and no store sees: how often a run met states that matter."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from counters.lanes.backlog import BATCH_MAX
from counters.lanes.lane import Lane
from counters.lanes.lease import Lease, LeaseSettings
from counters.lanes.planner import Planner
from tests.simulation.coverage import Coverage

Probe = Callable[[Coverage, Any, tuple[Any, ...], Any], None]
"""Gets what counts, whose method was called, with what, and what it returned."""


def _lease_grant(coverage: Coverage, lease: Any, args: tuple[Any, ...], outcome: object) -> None:  # noqa: ANN401 - white box
    del args, outcome
    _count_lease(coverage, lease, "taken")


def _lease_draw(coverage: Coverage, lease: Any, args: tuple[Any, ...], outcome: object) -> None:  # noqa: ANN401 - white box
    del args
    if outcome is not None:
        _count_lease(coverage, lease, "used")


def _lease_wanted(coverage: Coverage, lease: Any, args: tuple[Any, ...], outcome: Any) -> None:  # noqa: ANN401 - white box
    del lease, args
    coverage.is_ahead = outcome > 0


def _lease_give_back(coverage: Coverage, give_back: Callable[[Any], None]) -> Callable[[Any], None]:
    @functools.wraps(give_back)
    def call(lease: Any) -> None:  # noqa: ANN401 - white box
        if lease.size:
            coverage.count("lease given back")
        give_back(lease)

    return call


def _count_lease(coverage: Coverage, lease: Any, what: str) -> None:  # noqa: ANN401 - white box
    coverage.count(f"lease {what}")
    if lease._settings == LeaseSettings():
        coverage.count(f"lease of default settings {what}")


def _drop_outdated(coverage: Coverage, lane: Any, args: tuple[Any, ...], outcome: Any) -> None:  # noqa: ANN401 - white box
    del lane, args
    if any(one.epoch is not None for one in outcome[0]):
        coverage.count("release of an earlier epoch dropped by its lane")


def _follow(coverage: Coverage, lane: Any, args: tuple[Any, ...], outcome: object) -> None:  # noqa: ANN401 - white box
    del lane, args, outcome
    coverage.count("create of an id that is under way")


def _plan(coverage: Coverage, planner: Any, args: tuple[Any, ...], outcome: Any) -> None:  # noqa: ANN401 - white box
    del planner, args
    if outcome.deferred:
        coverage.count("create deferred to the outcome of a flush")


def _take_tickets(coverage: Coverage, lane: Any, args: tuple[Any, ...], outcome: Any) -> None:  # noqa: ANN401 - white box
    del lane
    if args[0] > BATCH_MAX and len(outcome) > BATCH_MAX:
        coverage.count("flush of more than a call")


_PROBES: Final[tuple[tuple[type, str, Probe], ...]] = (
    (Lease, "wanted", _lease_wanted),
    (Lease, "grant", _lease_grant),
    (Lease, "draw", _lease_draw),
    (Planner, "_drop_outdated", _drop_outdated),
    (Planner, "plan", _plan),
    (Lane, "_take_tickets", _take_tickets),
    (Lane, "_follow", _follow),
)


@contextmanager
def probed(coverage: Coverage) -> Iterator[None]:
    """Count what the engine does in this process for a while."""
    originals = [(owner, name, getattr(owner, name)) for owner, name, _ in _PROBES]
    for owner, name, probe in _PROBES:
        setattr(owner, name, _with_probe(getattr(owner, name), probe, coverage))
    # What is given back can be told only before it is.
    originals.append((Lease, "give_back", Lease.give_back))
    Lease.give_back = _lease_give_back(coverage, Lease.give_back)  # type: ignore[assignment, method-assign]
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
