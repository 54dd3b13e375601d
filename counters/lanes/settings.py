"""Bounds of every lane."""

import msgspec

from counters.lanes.lease import LeaseSettings


class LaneSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of every lane.

    Attributes:
        full_for_s: How long a lane that saw the counter full answers from what it saw, in seconds. Longer costs fewer
            reads; shorter finds room made by other processes sooner.
        queue_max: Most creates under way in one lane; further ones are turned away as overload.
        batch_max: Most creates in one flush, so that no flush starves the event loop.
        idle_s: A lane unused for so long is dropped, in seconds.
        linger_s: Longest time that a batch waits to fill a call while a full call is being written, in seconds.
        queue_max_s: Longest time that creates queue for a ledger that takes less than comes, in seconds; further ones
            are turned away at once rather than at their deadline.
        backlog_max_s: Longest time that it takes such a ledger to take what was let in, in seconds; until then no more
            is. Long enough to keep it busy.
        lease: Bounds of what is reserved ahead.
    """

    full_for_s: float = 0.1
    queue_max: int = 10_000
    batch_max: int = 1_000
    idle_s: float = 10.0
    linger_s: float = 0.01
    queue_max_s: float = 1.0
    backlog_max_s: float = 0.5
    lease: LeaseSettings = LeaseSettings()
