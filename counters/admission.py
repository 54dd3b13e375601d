"""Admission: which of a batch's reservations fit under the limit (``docs/design.md``, section 4).

This is O'Neil's escrow method (ACM TODS 11(4), 1986) cut down to an upper bound: a reservation is taken from the
room that is certain, never from room that somebody might still give back.
"""

from collections.abc import Sequence

from counters.model import Counter


def admit(counter: Counter, amounts: Sequence[int], released: int) -> list[bool]:
    """Decide a batch in arrival order: True where the amount fits.

    Args:
        counter: The counter as last seen. Whether that is still so is for the store's condition to find out.
        amounts: What each caller asks for, positive, in order of arrival.
        released: What the same flush gives back.
    """
    if counter.limit is None:
        return [True] * len(amounts)
    room = counter.limit - counter.value + released
    decisions = []
    for amount in amounts:
        fits = amount <= room
        if fits:
            room -= amount
        decisions.append(fits)
    return decisions
