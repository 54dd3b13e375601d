"""A baseline's table through the service's own client, with the repeats that AWS recommends instead of the engine's."""

from __future__ import annotations

import time
import uuid
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING

from counters.errors import (
    AccountNotFoundError,
    EntryNotFoundError,
    NotAppliedError,
    OutcomeUnknownError,
    OverloadedError,
)
from counters.model import Entry
from counters.stores.dynamodb.client import DynamoClient
from counters.stores.dynamodb.failures import translated as classed
from counters.stores.dynamodb.wire import ConditionFailedError
from load.compare.baselines import layout
from load.compare.baselines.retries import StandardRetries

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from types_aiobotocore_dynamodb.type_defs import AttributeValueTypeDef


class BaselineTable:
    """What the baselines do to their table; a failed call that another try may mend is raised as ``OverloadedError``.

    Attributes:
        client: Sends the calls.
        name: The table's name.
    """

    def __init__(self, client: DynamoClient, name: str) -> None:
        self.client = client
        self.name = name

    async def read(self, account_id: str, key: layout.Item, *, consistent: bool) -> Mapping[str, AttributeValueTypeDef]:
        """Return an item that every account has.

        Raises:
            AccountNotFoundError: There is none.
        """
        with translated():
            answer = await self.client.get_item(TableName=self.name, Key=key, ConsistentRead=consistent)
        if "Item" not in answer:
            raise AccountNotFoundError(account_id)
        return answer["Item"]

    async def put_entry(self, account_id: str, entry: Entry) -> None:
        """Store an entry."""
        with translated():
            await self.client.put_item(TableName=self.name, Item=entry_item(account_id, entry))

    async def delete_entry(self, account_id: str, entry_id: str) -> None:
        """Delete an entry.

        Raises:
            EntryNotFoundError: There is none.
        """
        with translated():
            try:
                await self.client.delete_item(
                    TableName=self.name,
                    Key=layout.entry_key(account_id, entry_id),
                    ConditionExpression=f"attribute_exists({layout.PK})",
                )
            except ConditionFailedError as error:
                raise EntryNotFoundError(entry_id) from error

    async def add(self, account_id: str, delta: int, shard: int = 0) -> None:
        """Change the counter atomically, whatever it is."""
        with translated():
            await self.client.update_item(
                TableName=self.name,
                Key=layout.counter_key(account_id, shard),
                UpdateExpression="ADD #count :delta",
                ExpressionAttributeNames={"#count": layout.COUNT},
                ExpressionAttributeValues={":delta": layout.number(delta)},
            )


def make_table(client: DynamoClient, name: str) -> BaselineTable:
    """Return a table whose calls are repeated as AWS recommends.

    Args:
        client: Sends each try.
        name: The table's name.
    """
    retries = StandardRetries(client.send, Random())  # noqa: S311 - for waits
    return BaselineTable(DynamoClient(retries.send), name)


@contextmanager
def translated() -> Iterator[None]:
    """Raise what did not go away with the repeats as an overload, which callers see as 503.

    Raises:
        OverloadedError: Throttled, in conflict, timed out, or a server's error.
        StoreRejectedError: Anything else.
    """
    try:
        with classed():
            yield
    except NotAppliedError as error:
        raise OverloadedError("The database could not do it now; try again.") from error
    except OutcomeUnknownError as error:
        raise OverloadedError("The database did not answer; try again.") from error


def new_entry(name: str, entry_id: str | None) -> Entry:
    """Return an entry that starts now, under a random id unless the caller has one."""
    return Entry(id=entry_id or str(uuid.uuid4()), name=name, created_at_ms=time.time_ns() // 1_000_000)


def entry_item(account_id: str, entry: Entry) -> layout.Item:
    """Return an entry as it is stored."""
    return {
        **layout.entry_key(account_id, entry.id),
        layout.NAME: layout.text(entry.name),
        layout.CREATED_AT: layout.number(entry.created_at_ms),
    }
