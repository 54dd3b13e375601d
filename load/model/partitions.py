"""What DynamoDB admits: write and read units, partition by partition."""

from typing import Final

from load.model.assumptions import READ_UNITS_PER_S, SPLIT_AFTER_S, WRITE_UNITS_PER_S
from stack.harness.bucket import Bucket

_GAP_S: Final = 1.0
"""Throttling with pauses longer than this is not sustained."""


class Collection:
    """All items with one partition key: on one partition, until it was hot for long and a split would help.

    DynamoDB does not split what a split cannot help: a single item, or sort keys that only grow, as all writes then go
    to one of the halves.
    """

    __slots__ = ("_hot_since", "_throttled_at", "_write_buckets")

    def __init__(self, now: float) -> None:
        self._write_buckets = [Bucket(WRITE_UNITS_PER_S, now)]
        self._hot_since = now
        self._throttled_at = float("-inf")

    def take_write(self, units: float, now: float, spread: float | None) -> bool:
        """Take write units if they are there.

        Args:
            units: How many.
            now: The time, in seconds.
            spread: Where the sort key stands among those that are written, from 0 to 1, when they are spread evenly;
                None for a single item and for sort keys that only grow.
        """
        bucket = self._write_buckets[int((spread or 0.0) * len(self._write_buckets))]
        if bucket.take(units, now):
            return True
        if spread is not None:
            self._note_heat(now)
        return False

    def _note_heat(self, now: float) -> None:
        if now - self._throttled_at > _GAP_S:
            self._hot_since = now
        self._throttled_at = now
        if now - self._hot_since >= SPLIT_AFTER_S:
            self._write_buckets = [Bucket(WRITE_UNITS_PER_S, now) for _ in range(2 * len(self._write_buckets))]
            self._hot_since = now


class Partitions:
    """All partitions of a table, each partition key on its own: what adaptive capacity arrives at."""

    def __init__(self) -> None:
        self._collections: dict[str, Collection] = {}
        self._read_buckets: dict[str, Bucket] = {}

    def take_write(self, pk: str, units: float, now: float, spread: float | None = None) -> bool:
        """Take write units of a partition key if they are there; see ``Collection``."""
        if pk not in self._collections:
            self._collections[pk] = Collection(now)
        return self._collections[pk].take_write(units, now, spread)

    def take_read(self, pk: str, units: float, now: float) -> bool:
        """Take read units of a partition key if they are there."""
        if pk not in self._read_buckets:
            self._read_buckets[pk] = Bucket(READ_UNITS_PER_S, now)
        return self._read_buckets[pk].take(units, now)
