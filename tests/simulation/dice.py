"""Randomness that belongs to a place, so that what happens there does not depend on how much happens elsewhere.

With one sequence for all, leaving one operation out of a run would change everything after it, and no failing run
could be made smaller.
"""

from random import Random
from typing import Final
from zlib import crc32

_BITS: Final = 53


class Dice(Random):
    """Random numbers from a seed, a place and how many were drawn there since."""

    def __init__(self, seed: int) -> None:
        super().__init__(0)
        self._seed_number = seed
        self._place = 0
        self._drawn = 0

    def at(self, place: str) -> "Dice":
        """Start the numbers of a place; returns itself."""
        self._place = crc32(place.encode())
        self._drawn = 0
        return self

    def random(self) -> float:
        """Return a number from 0 up to 1."""
        self._drawn += 1
        # The hash of a tuple of numbers is the same in every process, unlike that of text, and costs next to nothing.
        mixed = hash((self._seed_number, self._place, self._drawn, self._drawn))
        return (mixed >> 8 & (1 << _BITS) - 1) / (1 << _BITS)

    def getrandbits(self, k: int, /) -> int:
        """Return a number with this many bits."""
        bits = 0
        for _ in range(0, k, _BITS):
            bits = bits << _BITS | int(self.random() * (1 << _BITS))
        return bits & (1 << k) - 1
