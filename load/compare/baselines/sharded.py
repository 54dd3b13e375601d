"""Sharded (N=10): read the account and all ten parts of its counter, check their sum, put the entry, add to one part.

AWS's guide to write sharding: writes to ten items meet a tenth as often as writes to one, and each read pays for all
ten. Nothing can be conditional on a sum, so the limit is passed as with one item.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from counters.errors import AccountNotFoundError, LimitReachedError, OverloadedError
from counters.model import Created
from load.compare.baselines import layout
from load.compare.baselines.layout import SHARDS
from load.compare.baselines.table import BaselineTable, new_entry, translated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from types_aiobotocore_dynamodb.type_defs import AttributeValueTypeDef, KeysAndAttributesUnionTypeDef

    from counters.keys import CounterKey
    from load.compare.baselines.layout import Item

_READS_MAX: Final = 3
"""As often as a call is sent: DynamoDB may leave out keys of a batch, which the SDK does not ask for again."""


class Sharded:
    """Creates after a look at all shards of the counter."""

    def __init__(self, table: BaselineTable) -> None:
        self._table = table
        self._random = Random()  # noqa: S311 - picks a shard

    @staticmethod
    def items_of_account(account_id: str, limit: int) -> list[Item]:
        """Return what a new account is; its shards come to be with the first addition."""
        return [{**layout.account_key(account_id), **layout.limited(limit)}]

    async def create(self, key: CounterKey, name: str, entry_id: str | None = None) -> Created:
        """Add an entry, if the shards' sum had room a moment ago."""
        limit, count = await self._read(key.account_id)
        if count >= limit:
            raise LimitReachedError(limit, count)
        entry = new_entry(name, entry_id)
        await self._table.put_entry(key.account_id, entry)
        await self._add(key.account_id, 1)
        return Created(entry, replayed=False)

    async def delete(self, key: CounterKey, entry_id: str) -> None:
        """Delete an entry and make its room free, in any shard: one by itself may be below zero."""
        await self._table.delete_entry(key.account_id, entry_id)
        await self._add(key.account_id, -1)

    async def _add(self, account_id: str, delta: int) -> None:
        await self._table.add(account_id, delta, self._random.randrange(SHARDS))

    async def _read(self, account_id: str) -> tuple[int, int]:
        """Return the account's limit and the sum of its shards."""
        shards = [layout.counter_key(account_id, shard) for shard in range(SHARDS)]
        found = await self._read_all([layout.account_key(account_id), *shards])
        limits = [layout.limit_of(item) for item in found if layout.LIMIT in item]
        if not limits:
            raise AccountNotFoundError(account_id)
        return limits[0], sum(layout.count_of(item) for item in found if layout.COUNT in item)

    async def _read_all(self, keys: list[Item]) -> Sequence[Mapping[str, AttributeValueTypeDef]]:
        wanted: Mapping[str, KeysAndAttributesUnionTypeDef] = {self._table.name: {"Keys": keys, "ConsistentRead": True}}
        found: list[Mapping[str, AttributeValueTypeDef]] = []
        for _ in range(_READS_MAX):
            with translated():
                answer = await self._table.client.batch_get_item(RequestItems=wanted)
            found += answer["Responses"].get(self._table.name, [])
            wanted = answer.get("UnprocessedKeys", {})
            if not wanted:
                return found
        raise OverloadedError("The database could not read all shards now; try again.")
