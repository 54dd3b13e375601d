"""Transactional: the entry and the counter change together, in one TransactWriteItems under the condition that it fits.

Exact, and never over the limit. Transactions take no locks: those that meet on the hot counter cancel each other. The
SDK does not repeat a cancelled transaction, and neither is it repeated here, so that error is the caller's.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from counters.errors import AccountNotFoundError, EntryNotFoundError, LimitReachedError
from counters.model import Created
from counters.stores.dynamodb.failures import CONDITION_FAILED, cancellation_reasons
from counters.stores.dynamodb.wire import AnswerError
from load.compare.baselines import layout
from load.compare.baselines.table import BaselineTable, entry_item, new_entry, translated

if TYPE_CHECKING:
    from counters.keys import CounterKey
    from load.compare.baselines.layout import Item


class Transactional:
    """Creates and deletes in transactions."""

    def __init__(self, table: BaselineTable) -> None:
        self._table = table

    @staticmethod
    def items_of_account(account_id: str, limit: int) -> list[Item]:
        """Return what a new account is."""
        return [layout.limited_counter(account_id, limit)]

    async def create(self, key: CounterKey, name: str, entry_id: str | None = None) -> Created:
        """Add an entry if the counter has room."""
        entry = new_entry(name, entry_id)
        put = {"TableName": self._table.name, "Item": entry_item(key.account_id, entry)}
        count = layout.add_if_room(self._table.name, key.account_id)
        await self._transact({"Put": put}, {"Update": count}, key.account_id, entry.id)
        return Created(entry, replayed=False)

    async def delete(self, key: CounterKey, entry_id: str) -> None:
        """Delete an entry and make its room free."""
        delete = {
            "TableName": self._table.name,
            "Key": layout.entry_key(key.account_id, entry_id),
            "ConditionExpression": f"attribute_exists({layout.PK})",
        }
        count = {
            "TableName": self._table.name,
            "Key": layout.counter_key(key.account_id),
            "UpdateExpression": "ADD #count :minus_one",
            "ExpressionAttributeNames": {"#count": layout.COUNT},
            "ExpressionAttributeValues": {":minus_one": layout.number(-1)},
        }
        await self._transact({"Delete": delete}, {"Update": count}, key.account_id, entry_id)

    async def _transact(self, entry: Any, count: Any, account_id: str, entry_id: str) -> None:  # noqa: ANN401 - JSON
        with translated():
            try:
                # As the SDK does, so that a repeat of what was carried out changes nothing.
                await self._table.client.transact_write_items(
                    TransactItems=[entry, count], ClientRequestToken=str(uuid.uuid4())
                )
            except AnswerError as error:
                _raise_refusal(error, account_id, entry_id)
                raise


def _raise_refusal(error: AnswerError, account_id: str, entry_id: str) -> None:
    """Raise what a condition that did not hold stands for; nothing when the transaction failed otherwise."""
    reasons = cancellation_reasons(error)
    if CONDITION_FAILED not in reasons:
        return
    if reasons[0] == CONDITION_FAILED:
        raise EntryNotFoundError(entry_id) from error
    counter = error.fields["CancellationReasons"][1].get("Item")
    if counter is None:
        raise AccountNotFoundError(account_id) from error
    raise LimitReachedError(layout.limit_of(counter), layout.count_of(counter)) from error
