"""The model's DynamoDB table: limits, conflicts, what is in it, and the bill."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import msgspec

from counters.errors import NotAppliedError
from counters.keys import CounterKey, PrimaryKey
from counters.stores.memory import MemoryStore
from load.compare.baselines.layout import Item
from load.model.assumptions import READ_DOLLARS, TRANSACTION_UNITS, WRITE_DOLLARS
from load.model.partitions import Partitions


class ThrottledError(NotAppliedError):
    """A partition has no units left for this."""


class ConflictError(NotAppliedError):
    """The item is part of a transaction that is under way."""


class ModelUsage(msgspec.Struct, kw_only=True):
    """What was asked of a table.

    Attributes:
        calls: Requests.
        throttled: Requests of which something was refused for lack of units.
        conflicts: Requests refused for a transaction under way.
        flushes: Updates of counters that were admitted.
        write_units: Write units taken, the Lambda's too.
        settle_units: Those that the Lambda took.
        read_units: Read units taken.
    """

    calls: int = 0
    throttled: int = 0
    conflicts: int = 0
    flushes: int = 0
    write_units: float = 0.0
    settle_units: float = 0.0
    read_units: float = 0.0

    @property
    def dollars(self) -> float:
        """The bill, at on-demand prices."""
        return self.write_units * WRITE_DOLLARS + self.read_units * READ_DOLLARS

    def since(self, earlier: "ModelUsage") -> "ModelUsage":
        """Return what came on top of an earlier reading."""
        return ModelUsage(**{name: getattr(self, name) - getattr(earlier, name) for name in self.__struct_fields__})


class ModelTable:
    """A table that all processes share.

    Attributes:
        memory: What is in it, for the engine.
        items: The baselines' accounts and counters by partition key, where each is alone.
        entries: How many entries each counter has.
        unsettled: Slots of ledgers with entries that the Lambda has not seen yet; a dict for its order.
        usage: What was asked of it so far.
    """

    def __init__(self) -> None:
        self.memory = MemoryStore()
        self.items: dict[str, Item] = {}
        self.entries: Counter[CounterKey] = Counter()
        self.unsettled: dict[tuple[CounterKey, int], None] = {}
        self.usage = ModelUsage()
        self._partitions = Partitions()
        self._in_transaction: set[PrimaryKey] = set()

    def write(self, key: PrimaryKey, spread: float | None = None) -> None:
        """Pay for writing an item of up to 1 KB; see ``Collection.take_write``.

        Raises:
            ThrottledError: There are no units left.
            ConflictError: The item is in a transaction.
        """
        if key in self._in_transaction:
            self.usage.conflicts += 1
            raise ConflictError(key.pk)
        self._pay(key.pk, 1.0, spread)

    def read(self, *pks: str) -> None:
        """Pay for reading items of up to 4 KB, strongly consistent.

        Raises:
            ThrottledError: One of them has no units left.
        """
        now = _now()
        for pk in pks:
            if not self._partitions.take_read(pk, 1.0, now):
                self.usage.throttled += 1
                raise ThrottledError(pk)
            self.usage.read_units += 1.0

    def prepare(self, items: Sequence[PrimaryKey]) -> None:
        """Start a transaction that writes these items of up to 1 KB, and pay for it, also when it is cancelled.

        Raises:
            ConflictError: One of them is in another transaction.
            ThrottledError: One of them has no units left.
        """
        for item in items:
            self._pay(item.pk, TRANSACTION_UNITS)
        if not self._in_transaction.isdisjoint(items):
            self.usage.conflicts += 1
            raise ConflictError(items[0].pk)
        self._in_transaction.update(items)

    def finish(self, items: Sequence[PrimaryKey]) -> None:
        """End a transaction."""
        self._in_transaction.difference_update(items)

    def _pay(self, pk: str, units: float, spread: float | None = None) -> None:
        if not self._partitions.take_write(pk, units, _now(), spread):
            self.usage.throttled += 1
            raise ThrottledError(pk)
        self.usage.write_units += units


def _now() -> float:
    return asyncio.get_running_loop().time()
