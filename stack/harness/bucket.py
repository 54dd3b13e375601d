"""How DynamoDB bounds the units that it takes in a second."""

from typing import Final

BURST_S: Final = 300.0
"""Unused capacity that a partition keeps, in seconds of it. A run starts with one second's: a steady state has none."""


class Bucket:
    """A token bucket: a number of units a second, and the unused ones of the last minutes."""

    __slots__ = ("_at", "_rate", "_tokens")

    def __init__(self, units_per_s: float, now: float) -> None:
        self._rate = units_per_s
        self._tokens = units_per_s
        self._at = now

    def take(self, units: float, now: float) -> bool:
        """Take units if they are there, at a time in seconds that never goes back."""
        self._tokens = min(self._rate * BURST_S, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < units:
            return False
        self._tokens -= units
        return True
