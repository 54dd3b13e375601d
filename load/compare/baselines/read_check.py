"""Atomic update with read-check: read the account and the counter, check, put the entry, add to the counter.

This is what an application writes first. No update is lost, as ADD is atomic. But each create pays four calls of its
own, and between its read and its update the counter moves on, so the limit is passed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from counters.errors import LimitReachedError
from counters.model import Created
from load.compare.baselines import layout
from load.compare.baselines.table import BaselineTable, new_entry

if TYPE_CHECKING:
    from counters.keys import CounterKey
    from load.compare.baselines.layout import Item


class ReadCheck:
    """Creates after a look at the counter."""

    def __init__(self, table: BaselineTable) -> None:
        self._table = table

    @staticmethod
    def items_of_account(account_id: str, limit: int) -> list[Item]:
        """Return what a new account is."""
        return [
            {**layout.account_key(account_id), **layout.limited(limit)},
            {**layout.counter_key(account_id), **layout.counted(0)},
        ]

    async def create(self, key: CounterKey, name: str, entry_id: str | None = None) -> Created:
        """Add an entry, if the counter had room a moment ago."""
        account_id = key.account_id
        account = await self._table.read(account_id, layout.account_key(account_id), consistent=True)
        counter = await self._table.read(account_id, layout.counter_key(account_id), consistent=True)
        limit, count = layout.limit_of(account), layout.count_of(counter)
        if count >= limit:
            raise LimitReachedError(limit, count)
        entry = new_entry(name, entry_id)
        await self._table.put_entry(account_id, entry)
        await self._table.add(account_id, 1)
        return Created(entry, replayed=False)

    async def delete(self, key: CounterKey, entry_id: str) -> None:
        """Delete an entry and make its room free."""
        await self._table.delete_entry(key.account_id, entry_id)
        await self._table.add(key.account_id, -1)
