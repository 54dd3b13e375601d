"""Eventual only: read the counter, check, put the entry; a Lambda that reads the table's stream does the counting.

The cheapest way, and nothing conflicts. But the counter is late by as long as the stream takes, so a burst passes the
limit by all that it makes meanwhile, and room that a delete makes is found late, too.
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


class EventualOnly:
    """Creates after a look at a counter that others keep."""

    def __init__(self, table: BaselineTable) -> None:
        self._table = table

    @staticmethod
    def items_of_account(account_id: str, limit: int) -> list[Item]:
        """Return what a new account is: the limit is beside the count, so that one read tells both."""
        return [{**layout.counter_key(account_id), **layout.counted(0), **layout.limited(limit)}]

    async def create(self, key: CounterKey, name: str, entry_id: str | None = None) -> Created:
        """Add an entry, if the counter had room when it was last settled."""
        # The count is late anyway, so the cheaper kind of read will do.
        counter = await self._table.read(key.account_id, layout.counter_key(key.account_id), consistent=False)
        limit, count = layout.limit_of(counter), layout.count_of(counter)
        if count >= limit:
            raise LimitReachedError(limit, count)
        entry = new_entry(name, entry_id)
        await self._table.put_entry(key.account_id, entry)
        return Created(entry, replayed=False)

    async def delete(self, key: CounterKey, entry_id: str) -> None:
        """Delete an entry; its room is free when the Lambda has seen that."""
        await self._table.delete_entry(key.account_id, entry_id)
