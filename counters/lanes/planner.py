"""Planning a batch: what may be trusted, what fits, and what one write to the counter carries.

Strict and hybrid enforcement are mirror images, and this is where they differ. Strict goes up ahead of the ledger and
down behind it; hybrid goes down ahead of the ledger and up behind it. What goes ahead must count, so it is repeated
after an unknown outcome. What follows must not count twice, so it is not repeated, and it is dropped when a healing
came in between.
"""

from collections.abc import Sequence
from typing import NamedTuple

from counters.lanes.admission import admit
from counters.lanes.queue import Batch
from counters.lanes.tickets import Adjustment, Ticket
from counters.lanes.view import View
from counters.lanes.writer import Written
from counters.model import Change, Counter, Enforcement


class Plan(NamedTuple):
    """What becomes of a batch.

    Attributes:
        reserved: What one write to the counter reserves and adjusts; then its entries are written.
        unreserved: What is written to the ledger first, and counted after that.
        refused: Creates that do not fit.
        outdated: Adjustments that must not be made any more.
        in_use: The counter's value when all that was granted is counted.
    """

    reserved: Batch
    unreserved: Batch
    refused: Sequence[Ticket]
    outdated: Sequence[Adjustment]
    in_use: int


class Planner:
    """Plans the batches of one lane.

    Args:
        view: What the lane last saw of its counter.
        quiet_s: How long a counter is untouched before it is healed, in seconds.
        full_for_s: See ``LaneSettings``.

    Attributes:
        in_flight: Sum of the hybrid entries that are written, or being written, and not counted yet.
    """

    def __init__(self, view: View, quiet_s: float, full_for_s: float) -> None:
        self._view = view
        self._quiet_s = quiet_s
        self._full_for_s = full_for_s
        self.in_flight = 0

    def may_trust(self, seen: Counter, batch: Batch) -> bool:
        """Tell whether the counter as it was seen last is enough to plan this batch with."""
        if not batch.tickets or self._view.age_s < self._full_for_s:
            return True
        if seen.enforcement is not Enforcement.STRICT:
            # Nothing checks the limit after us, so an old look must not admit; nor must it refuse for long.
            return False
        return self._admits_all(seen, batch)

    def may_rely_on(self, seen: Counter, batch: Batch) -> bool:
        """Tell whether a counter that cannot be read may be planned with as it was seen last.

        Hybrid callers prefer being let in by an old look to no answer; it is no reason to refuse. After half of the
        quiet time the counter may be strict.
        """
        is_hybrid = seen.enforcement is Enforcement.HYBRID and self._view.age_s <= self._quiet_s / 2
        return is_hybrid and self._admits_all(seen, batch)

    def _admits_all(self, seen: Counter, batch: Batch) -> bool:
        in_use = self._expected(seen, batch.adjustments)
        return all(admit(seen, [ticket.entry.amount for ticket in batch.tickets], in_use))

    def _expected(self, counter: Counter, adjustments: Sequence[Adjustment]) -> int:
        """Return the counter's value once everything that this lane knows of is counted."""
        if counter.enforcement is Enforcement.HYBRID:
            # What was written is in flight, and an adjustment at the same time.
            return counter.value + self.in_flight + sum(one.delta - one.in_flight for one in adjustments)
        return counter.value + sum(one.delta for one in adjustments)

    def plan(self, counter: Counter, batch: Batch) -> Plan:
        """Return what becomes of a batch, and hold as in flight what is written before it is counted."""
        outdated, adjustments = self._drop_outdated(counter, batch.adjustments)
        in_use = self._expected(counter, adjustments)
        granted: list[Ticket] = []
        refused: list[Ticket] = []
        decisions = admit(counter, [ticket.entry.amount for ticket in batch.tickets], in_use)
        for ticket, fits in zip(batch.tickets, decisions, strict=True):
            if fits:
                granted.append(ticket)
                in_use += ticket.entry.amount
            else:
                refused.append(ticket)
        if counter.enforcement is not Enforcement.HYBRID:
            return Plan(Batch(granted, adjustments), Batch([], []), refused, outdated, in_use)
        unreserved = Batch(granted, [])
        self.in_flight += unreserved.amount
        return Plan(Batch([], adjustments), unreserved, refused, outdated, in_use)

    def _drop_outdated(
        self, counter: Counter, adjustments: Sequence[Adjustment]
    ) -> tuple[list[Adjustment], list[Adjustment]]:
        """Return the adjustments that must not be made any more, and the others.

        The first follow a change of the ledger in an earlier epoch, or go ahead of one in a counter that was hybrid.
        """
        valid = {counter.epoch, None} if counter.enforcement is Enforcement.HYBRID else {counter.epoch}
        outdated = [one for one in adjustments if one.epoch not in valid]
        return outdated, [one for one in adjustments if one.epoch in valid]

    def change(self, counter: Counter, batch: Batch, ahead: int, at_ms: int) -> Change:
        """Return the one write that carries a batch.

        Args:
            counter: As it was planned with.
            batch: What is reserved and adjusted.
            ahead: How much is reserved for creates that are yet to come.
            at_ms: The time, milliseconds since the epoch.
        """
        return Change(
            delta=batch.amount + ahead + sum(one.delta for one in batch.adjustments),
            admits=bool(batch.tickets),
            limit=counter.limit,
            epoch=counter.epoch if any(one.epoch is not None for one in batch.adjustments) else None,
            enforcement=Enforcement.HYBRID if any(one.epoch is None for one in batch.adjustments) else None,
            at_ms=at_ms,
        )

    def after_write(self, counter: Counter, batch: Batch, written: Written, *, is_reserved: bool) -> Adjustment | None:
        """Return what the counter owes the ledger after a write: a release, or an addition; None for nothing."""
        if is_reserved:
            return Adjustment(-written.unused, counter.epoch) if written.unused else None
        # In flight until they are counted: those that were stored, by the adjustment.
        self.in_flight -= batch.amount - written.stored
        return Adjustment(written.stored, counter.epoch, in_flight=written.stored) if written.stored else None

    def finish(self, adjustments: Sequence[Adjustment]) -> None:
        """End adjustments that were made, or are not to be made."""
        for adjustment in adjustments:
            adjustment.finish()
            self.in_flight -= adjustment.in_flight
