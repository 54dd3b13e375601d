"""How much came lately."""

import math
from typing import Final

LATELY_S: Final = 1.0
"""What "lately" means, in seconds."""


class Recent:
    """An amount a second that follows what came in about the last second, older amounts fading (exponential decay).

    Attributes:
        per_s: The amount a second, as of the last one noted.
    """

    def __init__(self) -> None:
        self.per_s = 0.0
        self._noted_at = -math.inf

    def fades_to_per_s(self, now: float) -> float:
        """Return the amount a second as of now (event loop time, in seconds), when nothing came since the last one."""
        return self.per_s * math.exp((self._noted_at - now) / LATELY_S)

    def observe(self, now: float, amount: int) -> None:
        """Take in an amount that came now (event loop time, in seconds)."""
        self.per_s = self.fades_to_per_s(now) + amount / LATELY_S
        self._noted_at = now
