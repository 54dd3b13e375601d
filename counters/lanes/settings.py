"""Bounds of every lane."""

import msgspec

from counters.lanes.lease import LeaseSettings


class LaneSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of every lane.

    Attributes:
        sight_lasts_s: Greatest age of a sight by which a hybrid create is let in, in seconds.
        look_every_s: Least time from one look at a counter to the next, in seconds. Refusals wait for a look that began
            after they arrived.
        queue_max: Most creates under way in one lane; further ones are turned away as overload.
        batch_max: Most creates in one flush, so that no flush starves the event loop.
        idle_s: Seconds after which an unused lane is dropped.
        linger_s: Longest time that a batch waits to fill a call while a full call is being written, in seconds.
        queue_max_s: Longest queue for a ledger that refuses entries, in seconds of its rate. Further creates are turned
            away at once rather than at their deadline.
        backlog_max_s: Longest backlog of such a ledger, in seconds of its rate. While it is longer, no create is let
            in. Long enough to keep the ledger busy.
        lease: Bounds of what is reserved ahead.
    """

    sight_lasts_s: float = 0.1
    look_every_s: float = 0.01
    queue_max: int = 10_000
    batch_max: int = 1_000
    idle_s: float = 10.0
    linger_s: float = 0.01
    queue_max_s: float = 1.0
    backlog_max_s: float = 0.5
    lease: LeaseSettings = LeaseSettings()
