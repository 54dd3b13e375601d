"""A skewed choice: few accounts get most of the load, as in life."""

from collections.abc import Sequence
from itertools import accumulate
from random import Random
from typing import Generic, TypeVar

T = TypeVar("T")


class ZipfChoice(Generic[T]):
    """Chooses by Zipf's law: the item of rank k with a probability in proportion to ``1 / k ** exponent``."""

    def __init__(self, items: Sequence[T], exponent: float, seed: int) -> None:
        """Prepare the choice.

        Args:
            items: What to choose from, the most popular first.
            exponent: How skewed it is; 0 for not at all.
            seed: The same seed makes the same choices in the same order.
        """
        self._items = items
        self._weights = list(accumulate((rank + 1) ** -exponent for rank in range(len(items))))
        self._random = Random(seed)  # noqa: S311  # repeatable, nothing secret

    def choose(self) -> T:
        """Return the next choice."""
        (item,) = self._random.choices(self._items, cum_weights=self._weights)
        return item
