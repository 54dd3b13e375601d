"""The plain way to keep a limit: read the account, read the counter, put the entry, update the counter.

This is what an application writes first. Each create pays four calls of its own, and between its read and its update
the counter moves on, so it also overshoots. Here it stands behind the same routes, as the baseline of a comparison.
"""

from random import Random
from time import time_ns

from counters import keys
from counters.dynamodb import DynamoStore, items
from counters.engine import Engine
from counters.errors import AccountNotFoundError, LimitReachedError
from counters.ids import uuid7
from counters.keys import CounterKey, PrimaryKey
from counters.model import Created, Entry


class PlainEntries:
    """Creates entries the plain way; there is nothing to read, list or delete them with, as none of it is compared."""

    def __init__(self, store: DynamoStore, table_name: str) -> None:
        self._client = store.client
        self._table_name = table_name
        self._random = Random()  # noqa: S311 - for ids, not for secrets

    async def create(self, key: CounterKey, name: str, entry_id: str | None = None) -> Created:
        """Add an entry, if the counter had room a moment ago."""
        account = await self._read(keys.account_key(key.account_id))
        stored = await self._read(keys.counter_key(key))
        if not account or not stored:
            raise AccountNotFoundError(key.account_id)
        counter = items.read_counter(stored)
        if counter.limit is not None and counter.best_effort >= counter.limit:
            raise LimitReachedError(counter.limit, counter.best_effort)
        now_ms = time_ns() // 1_000_000
        entry = Entry(id=entry_id or uuid7(now_ms, self._random), name=name, created_at_ms=now_ms)
        await self._client.put_item(TableName=self._table_name, Item=items.entry_item(key, counter.slots, entry))
        await self._client.update_item(
            TableName=self._table_name,
            Key=items.key_item(keys.counter_key(key)),
            UpdateExpression="ADD #best_effort :one",
            ExpressionAttributeNames={"#best_effort": keys.BEST_EFFORT},
            ExpressionAttributeValues={":one": items.number(1)},
        )
        return Created(entry, replayed=False)

    async def _read(self, key: PrimaryKey) -> items.Item:
        answer = await self._client.get_item(TableName=self._table_name, Key=items.key_item(key), ConsistentRead=True)
        return answer.get("Item", {})


def plain_engine(engine: Engine, store: DynamoStore, table_name: str) -> Engine:
    """Return the engine with its creates done the plain way; all else is the real thing."""
    engine.entries.create = PlainEntries(store, table_name).create  # type: ignore[method-assign]
    return engine
