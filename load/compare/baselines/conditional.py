"""Conditional: add one to the counter under the condition that it fits, then put the entry; a call each, no batches.

AWS's guide to counters with a limit. It has no transaction to be cancelled and nothing to read, and what it does in
this order never passes the limit. A put that was refused for good gives its room back, as far as that works; one that
may have been carried out keeps it. What gets lost on the way stays counted: nothing here heals.

An addition is no call that may be repeated blindly, and the SDK repeats it all the same. Where an answer was lost, one
up too many is room that is gone, and one down too many is an entry over the limit.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from counters.errors import (
    AccountNotFoundError,
    LimitReachedError,
    NotAppliedError,
    OverloadedError,
    StoreRejectedError,
)
from counters.model import Created
from counters.stores.dynamodb.failures import translated as classed
from counters.stores.dynamodb.wire import ConditionFailedError
from load.compare.baselines import layout
from load.compare.baselines.table import BaselineTable, entry_item, new_entry, translated

if TYPE_CHECKING:
    from counters.keys import CounterKey
    from counters.model import Entry
    from load.compare.baselines.layout import Item


class Conditional:
    """Takes room first, and creates after that."""

    def __init__(self, table: BaselineTable) -> None:
        self._table = table

    @staticmethod
    def items_of_account(account_id: str, limit: int) -> list[Item]:
        """Return what a new account is."""
        return [layout.limited_counter(account_id, limit)]

    async def create(self, key: CounterKey, name: str, entry_id: str | None = None) -> Created:
        """Add an entry if the counter has room."""
        entry = new_entry(name, entry_id)
        await self._take_room(key.account_id)
        await self._put(key.account_id, entry)
        return Created(entry, replayed=False)

    async def delete(self, key: CounterKey, entry_id: str) -> None:
        """Delete an entry and, once it is gone, make its room free."""
        await self._table.delete_entry(key.account_id, entry_id)
        await self._table.add(key.account_id, -1)

    async def _take_room(self, account_id: str) -> None:
        """Count one up; the answer to a refusal shows the counter, which saves a read."""
        with translated():
            try:
                await self._table.client.update_item(**layout.add_if_room(self._table.name, account_id))
            except ConditionFailedError as error:
                counter = error.fields.get("Item")
                if counter is None:
                    raise AccountNotFoundError(account_id) from error
                raise LimitReachedError(layout.limit_of(counter), layout.count_of(counter)) from error

    async def _put(self, account_id: str, entry: Entry) -> None:
        """Store an entry, or give its room back if it is certain that it was not stored."""
        with translated():
            try:
                with classed():
                    await self._table.client.put_item(TableName=self._table.name, Item=entry_item(account_id, entry))
            except (NotAppliedError, StoreRejectedError):
                # The caller is told of the put, whatever becomes of this.
                with suppress(OverloadedError, StoreRejectedError):
                    await self._table.add(account_id, -1)
                raise
