"""Admission: which of a batch's reservations fit under the limit (``docs/design/engine.md``, section 4).

This is O'Neil's escrow method (ACM TODS 11(4), 1986) cut down to an upper bound: a reservation is taken from the
room that is certain, never from room that somebody might still give back.
"""

from collections.abc import Sequence

from counters.model import Counter, Enforcement


def admit(counter: Counter, amounts: Sequence[int], in_use: int) -> list[bool]:
    """Decide a batch in arrival order: True where the amount fits.

    Args:
        counter: The counter as last seen. The store's condition finds out whether it still is so.
        amounts: The amount that each caller asks for, positive, in order of arrival.
        in_use: The counter's value with everything that is not in it yet. The limit is compared with it.
    """
    if counter.enforcement is Enforcement.TIGHTENING:
        return [False] * len(amounts)
    if counter.limit is None:
        return [True] * len(amounts)
    room = counter.limit - in_use
    decisions = []
    for amount in amounts:
        fits = amount <= room
        if fits:
            room -= amount
        decisions.append(fits)
    return decisions
