"""The plan of a batch: which sight to trust, which creates fit, and what one write to the counter carries.

Strict and hybrid enforcement are mirror images, and this is where they differ. Strict counts up before the ledger
grows, and down after it shrinks. Hybrid counts down before the ledger shrinks, and up after it grows. A change that
comes before must count, so it is repeated after an unknown outcome. A change that comes after must not count twice: it
is not repeated, and it is dropped when a healing came in between.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from counters.lanes.admission import admit
from counters.lanes.queue import Batch
from counters.lanes.tickets import Adjustment, Ticket
from counters.lanes.view import View
from counters.lanes.writer import Written
from counters.model import Change, Counter, Enforcement

_RELIED_ON_S: Final = 7.5
"""Greatest age of a sight that hybrid relies on, in seconds: a quarter of the time that it takes to become strict."""


class Plan(NamedTuple):
    """The plan of one batch.

    Attributes:
        reserved: The creates and adjustments of the one write to the counter. Their entries are written after it.
        unreserved: The creates whose entries are written first and counted after that.
        refused: Creates that do not fit by the sight itself. The counter was full at an instant after they arrived.
        deferred: Creates that do not fit only if all goes as planned. The outcome of the write decides on them.
        outdated: Adjustments that must not be made any more.
        in_use: The counter's value with everything that this plan grants.
    """

    reserved: Batch
    unreserved: Batch
    refused: Sequence[Ticket]
    deferred: Sequence[Ticket]
    outdated: Sequence[Adjustment]
    in_use: int


class Planner:
    """Plans the batches of one lane.

    Args:
        view: What the lane last saw of its counter.
        sight_lasts_s: See ``LaneSettings``.

    Attributes:
        in_flight: Sum of the hybrid entries that are written, or being written, and not counted yet.
    """

    def __init__(self, view: View, sight_lasts_s: float) -> None:
        self._view = view
        self._sight_lasts_s = sight_lasts_s
        self.in_flight = 0

    def may_trust(self, seen: Counter, batch: Batch) -> bool:
        """Tell whether the last sight of the counter is good enough to plan this batch."""
        if not batch.tickets:
            return True
        if seen.enforcement is not Enforcement.STRICT and self._view.age_s >= self._sight_lasts_s:
            # Nothing checks the limit after us, so an old sight must not admit.
            return False
        return self.admits_all(seen, batch) or self._saw_all(batch.tickets)

    def _saw_all(self, tickets: Sequence[Ticket]) -> bool:
        """Tell whether the last sight may refuse these creates: they had arrived when it was asked for."""
        return max(ticket.arrived_at for ticket in tickets) <= self._view.asked_at

    def may_rely_on(self, seen: Counter, batch: Batch) -> bool:
        """Tell whether the last sight will do while the counter cannot be read.

        A hybrid caller prefers admission by an old sight to no answer. An old sight never refuses. After
        a while the counter may be strict.
        """
        is_hybrid = seen.enforcement is Enforcement.HYBRID and self._view.age_s <= _RELIED_ON_S
        return is_hybrid and self.admits_all(seen, batch)

    def admits_all(self, seen: Counter, batch: Batch) -> bool:
        """Tell whether every create of a batch fits by this sight of the counter."""
        in_use = self._expected(seen, batch.adjustments)
        return all(admit(seen, [ticket.entry.amount for ticket in batch.tickets], in_use))

    def _expected(self, counter: Counter, adjustments: Sequence[Adjustment]) -> int:
        """Return the counter's value with everything that this lane knows of."""
        if counter.enforcement is Enforcement.HYBRID:
            # A written entry is in flight and in an adjustment at the same time.
            return counter.value + self.in_flight + sum(_left(counter, one) - one.in_flight for one in adjustments)
        return counter.value + sum(_left(counter, one) for one in adjustments)

    def plan(self, counter: Counter, batch: Batch) -> Plan:
        """Return the plan of a batch. Entries that are written before they are counted are in flight from now on."""
        outdated, adjustments = self._drop_outdated(counter, batch.adjustments)
        in_use = self._expected(counter, adjustments)
        granted: list[Ticket] = []
        refused: list[Ticket] = []
        deferred: list[Ticket] = []
        decisions = admit(counter, [ticket.entry.amount for ticket in batch.tickets], in_use)
        for ticket, fits in zip(batch.tickets, decisions, strict=True):
            if fits:
                granted.append(ticket)
                in_use += ticket.entry.amount
            elif counter.enforcement is Enforcement.STRICT and counter.has_room_for(ticket.entry.amount):
                deferred.append(ticket)
            else:
                refused.append(ticket)
        if counter.enforcement is not Enforcement.HYBRID:
            return Plan(Batch(granted, adjustments), Batch([], []), refused, deferred, outdated, in_use)
        unreserved = Batch(granted, [])
        self.in_flight += unreserved.amount
        return Plan(Batch([], adjustments), unreserved, refused, deferred, outdated, in_use)

    def _drop_outdated(
        self, counter: Counter, adjustments: Sequence[Adjustment]
    ) -> tuple[list[Adjustment], list[Adjustment]]:
        """Return the adjustments that must not be made any more, and the others.

        The first are of what a healing has counted since, or of a counter that was hybrid and is not any more.
        """
        outdated = [one for one in adjustments if _is_outdated(counter, one)]
        return outdated, [one for one in adjustments if one not in outdated]

    def change(self, counter: Counter, batch: Batch, ahead: int, at_ms: int) -> Change:
        """Return the one write that carries a batch.

        Args:
            counter: As it was planned with.
            batch: The creates to reserve for, and the adjustments to make.
            ahead: The amount to reserve for later creates.
            at_ms: The time, milliseconds since the epoch.
        """
        following = [one for one in batch.adjustments if one.epoch is not None]
        return Change(
            delta=batch.amount + ahead + sum(one.delta for one in batch.adjustments),
            admits=bool(batch.tickets),
            limit=counter.limit,
            epoch=counter.epoch if following else None,
            enforcement=Enforcement.HYBRID if any(one.epoch is None for one in batch.adjustments) else None,
            before_cut=sum(one.up_to(counter.cut.revision) for one in following) if counter.cut is not None else 0,
            at_ms=at_ms,
        )

    def after_write(self, counter: Counter, batch: Batch, written: Written, *, is_reserved: bool) -> Adjustment | None:
        """Return the adjustment that a write makes necessary: a release, or an addition; None for neither."""
        if is_reserved:
            return Adjustment({counter.revision: -written.unused}, counter.epoch) if written.unused else None
        # The stored ones stay in flight until the adjustment counts them.
        self.in_flight -= batch.amount - written.stored
        if not written.stored:
            return None
        return Adjustment({counter.revision: written.stored}, counter.epoch, in_flight=written.stored)

    def finish(self, adjustments: Sequence[Adjustment]) -> None:
        """End adjustments, made or dropped."""
        for adjustment in adjustments:
            adjustment.finish()
            self.in_flight -= adjustment.in_flight


def _left(counter: Counter, adjustment: Adjustment) -> int:
    """Return what is left to adjust by this sight of the counter. Nothing is dropped: the sight may prove too old."""
    if adjustment.epoch is None:
        return adjustment.delta if counter.enforcement is Enforcement.HYBRID else 0
    counted = _counted_up_to(counter, adjustment.epoch)
    if counted is None:
        return adjustment.delta
    return adjustment.delta - adjustment.up_to(counted)


def _is_outdated(counter: Counter, adjustment: Adjustment) -> bool:
    """Tell whether nothing is left to adjust. What a healing has counted since is left out."""
    if adjustment.epoch is None:
        return counter.enforcement is not Enforcement.HYBRID
    counted = _counted_up_to(counter, adjustment.epoch)
    return counted is not None and adjustment.drop_up_to(counted)


def _counted_up_to(counter: Counter, epoch: int) -> int | None:
    """Return the revision up to which a healing counted the ledger after this epoch; None when no healing did."""
    if counter.healed_epoch is None or epoch >= counter.healed_epoch:
        return None
    return counter.healed_cut
