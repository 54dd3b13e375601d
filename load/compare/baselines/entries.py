"""How each baseline creates and deletes entries: five ways to keep a limit that AWS's guides recommend."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final

from counters import keys
from counters.errors import (
    AccountNotFoundError,
    LimitReachedError,
    NotAppliedError,
    OutcomeUnknownError,
    OverloadedError,
    StoreError,
    StoreRejectedError,
)
from counters.keys import CounterKey
from counters.model import Created, Entry
from load.compare.baselines import layout
from load.compare.baselines.layout import Item
from load.compare.baselines.table import BaselineTable, entry_item


class BaselineEntries(ABC):
    """What is compared."""

    def __init__(self, table: BaselineTable) -> None:
        self._table = table

    async def open_account(self, account_id: str, limit: int) -> None:
        """Store what a new account starts with.

        Raises:
            OverloadedError: The database failed, also when asked again.
        """
        with _overload():
            await asyncio.gather(*map(self._table.put, self.items_of_account(account_id, limit)))

    async def create(self, key: CounterKey, name: str, entry_id: str | None = None) -> Created:
        """Add an entry, if the counter has room for it, as far as the baseline can tell.

        Raises:
            AccountNotFoundError: There is no such account.
            LimitReachedError: There is no room.
            OverloadedError: The database failed, also when asked again.
        """
        entry = self._table.new_entry(name, entry_id)
        with _overload():
            await self._add(key.account_id, entry)
        return Created(entry, replayed=False)

    async def delete(self, key: CounterKey, entry_id: str) -> None:
        """Delete an entry and make its room free.

        Raises:
            EntryNotFoundError: There is no such entry.
            OverloadedError: The database failed, also when asked again.
        """
        with _overload():
            await self._remove(key.account_id, entry_id)

    @staticmethod
    def items_of_account(account_id: str, limit: int) -> list[Item]:
        """Return the items that a new account starts with: a counter beside its limit, or what a baseline has else."""
        return [{**layout.counter_key(account_id), **layout.counted(0), **layout.limited(limit)}]

    @abstractmethod
    async def _add(self, account_id: str, entry: Entry) -> None:
        """Store an entry, if there is room."""

    async def _remove(self, account_id: str, entry_id: str) -> None:
        await self._table.delete_entry(account_id, entry_id)
        await self._count(account_id, -1)

    async def _count(self, account_id: str, delta: int) -> None:
        await self._table.add(account_id, delta)


class ReadCheck(BaselineEntries):
    """Read the account and the counter, check, put the entry, add to the counter.

    This is what an application writes first. No update is lost, as ADD is atomic. But each create pays four calls of
    its own, and between its read and its update the counter moves on, so the limit is passed.
    """

    @staticmethod
    def items_of_account(account_id: str, limit: int) -> list[Item]:
        """See ``BaselineEntries``."""
        return [
            {**layout.account_key(account_id), **layout.limited(limit)},
            {**layout.counter_key(account_id), **layout.counted(0)},
        ]

    async def _add(self, account_id: str, entry: Entry) -> None:
        limit, count = await self._look(account_id)
        if count >= limit:
            raise LimitReachedError(limit, count)
        await self._table.put(entry_item(account_id, entry))
        await self._count(account_id, 1)

    async def _look(self, account_id: str) -> tuple[int, int]:
        """Return the account's limit and how much of it was taken a moment ago."""
        account = await self._table.read(account_id, layout.account_key(account_id), consistent=True)
        counter = await self._table.read(account_id, layout.counter_key(account_id), consistent=True)
        return layout.limit_of(account), layout.count_of(counter)


class Sharded(ReadCheck):
    """Read the account and all ten parts of its counter, check their sum, put the entry, add to one part.

    AWS's guide to write sharding: writes to ten items meet a tenth as often as writes to one, and each read pays for
    all ten. Nothing can be conditional on a sum, so the limit is passed as with one item.
    """

    @staticmethod
    def items_of_account(account_id: str, limit: int) -> list[Item]:
        """See ``BaselineEntries``; shards come to be with the first addition."""
        return [{**layout.account_key(account_id), **layout.limited(limit)}]

    async def _look(self, account_id: str) -> tuple[int, int]:
        shards = [layout.counter_key(account_id, shard) for shard in range(layout.SHARDS)]
        found = await self._table.read_all([layout.account_key(account_id), *shards])
        limits = [layout.limit_of(item) for item in found if keys.LIMIT in item]
        if not limits:
            raise AccountNotFoundError(account_id)
        return limits[0], sum(layout.count_of(item) for item in found if layout.COUNT in item)

    async def _count(self, account_id: str, delta: int) -> None:
        """Add to any shard: one by itself may be below zero."""
        await self._table.add(account_id, delta, self._table.random.randrange(layout.SHARDS))


class EventualOnly(ReadCheck):
    """Read the counter, check, put the entry; a Lambda that reads the table's stream does the counting.

    The cheapest way, and nothing conflicts. But the counter is late by as long as the stream takes, so a burst passes
    the limit by all that it makes meanwhile, and room that a delete makes is found late, too.
    """

    @staticmethod
    def items_of_account(account_id: str, limit: int) -> list[Item]:
        """See ``BaselineEntries``: one read tells count and limit."""
        return BaselineEntries.items_of_account(account_id, limit)

    async def _look(self, account_id: str) -> tuple[int, int]:
        # The count is late anyway, so the cheaper kind of read will do.
        counter = await self._table.read(account_id, layout.counter_key(account_id), consistent=False)
        return layout.limit_of(counter), layout.count_of(counter)

    async def _count(self, account_id: str, delta: int) -> None:
        """Leave it to the Lambda."""


class Conditional(BaselineEntries):
    """Add one to the counter under the condition that it fits, then put the entry; a call each, no batches.

    AWS's guide to counters with a limit. It has no transaction to be cancelled and nothing to read, and what it does in
    this order never passes the limit. A put that was refused for good gives its room back, as far as that works; one
    that may have been carried out keeps it. What gets lost on the way stays counted: nothing here heals.

    An addition is no call that may be repeated blindly, and the SDK repeats it all the same. Where an answer was lost,
    one up too many is room that is gone, and one down too many is an entry over the limit.
    """

    async def _add(self, account_id: str, entry: Entry) -> None:
        await self._table.add_if_room(account_id)
        try:
            await self._table.put(entry_item(account_id, entry))
        except (NotAppliedError, StoreRejectedError):
            # The caller is told of the put, whatever becomes of this.
            with suppress(StoreError):
                await self._count(account_id, -1)
            raise


class Transactional(BaselineEntries):
    """Change the entry and the counter together, in one TransactWriteItems under the condition that it fits.

    Exact, and never over the limit. Transactions take no locks: those that meet on the hot counter cancel each other.
    The SDK does not repeat a cancelled transaction, and neither is it repeated here, so that error is the caller's.
    """

    async def _add(self, account_id: str, entry: Entry) -> None:
        put = {"TableName": self._table.name, "Item": entry_item(account_id, entry)}
        count = layout.addition_if_room(self._table.name, account_id)
        await self._table.transact({"Put": put}, {"Update": count}, account_id, entry.id)

    async def _remove(self, account_id: str, entry_id: str) -> None:
        delete = layout.deletion(self._table.name, account_id, entry_id)
        count = layout.addition(self._table.name, account_id, -1)
        await self._table.transact({"Delete": delete}, {"Update": count}, account_id, entry_id)


BASELINES: Final[Mapping[str, type[BaselineEntries]]] = {
    "transactional": Transactional,
    "conditional": Conditional,
    "read-check": ReadCheck,
    "sharded": Sharded,
    "eventual-only": EventualOnly,
}
"""By the names that ``load.server`` knows them by."""


@contextmanager
def _overload() -> Iterator[None]:
    """Raise what did not go away with the repeats as an overload, which callers see as 503.

    Raises:
        OverloadedError: Throttled, in conflict, timed out, or a server's error.
    """
    try:
        yield
    except NotAppliedError as error:
        raise OverloadedError("The database could not do it now; try again.") from error
    except OutcomeUnknownError as error:
        raise OverloadedError("The database did not answer; try again.") from error
