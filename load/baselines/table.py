"""A baseline's table through the SDK as AWS recommends it: standard retries, and what remains is the caller's."""

from __future__ import annotations

import os
import time
import uuid
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final

import aioboto3
from aiobotocore.config import AioConfig
from botocore.exceptions import ClientError, ConnectionError, HTTPClientError  # noqa: A004 - the SDK's name

from counters.errors import AccountNotFoundError, EntryNotFoundError, OverloadedError
from counters.model import Entry
from load.baselines import layout

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_dynamodb.type_defs import AttributeValueTypeDef

# As the service's client, so that only the strategy differs; but repeating is left to the SDK.
_CONFIG: Final = AioConfig(
    retries={"total_max_attempts": 3, "mode": "standard"},
    connect_timeout=1.0,
    read_timeout=2.5,
    max_pool_connections=128,
    tcp_keepalive=True,
    parameter_validation=False,
    user_agent="distributed-counter",
)

_SERVER_ERROR: Final = 500
_TRY_AGAIN: Final = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ThrottlingException",
        "TransactionCanceledException",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)


class BaselineTable:
    """What the baselines do to their table; a failed call that another try may mend is raised as ``OverloadedError``.

    Attributes:
        client: The process's one DynamoDB client.
        name: The table's name.
    """

    def __init__(self, client: DynamoDBClient, name: str) -> None:
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
            except self.client.exceptions.ConditionalCheckFailedException as error:
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


@asynccontextmanager
async def open_table(name: str) -> AsyncIterator[BaselineTable]:
    """Open the process's one client; endpoint, region and credentials come from the SDK's usual places."""
    session = aioboto3.Session(region_name=os.environ.get("AWS_REGION") or None)
    async with session.client("dynamodb", config=_CONFIG) as client:
        yield BaselineTable(client, name)


@contextmanager
def translated() -> Iterator[None]:
    """Raise what the SDK gave up on as an overload, which callers see as 503.

    Raises:
        OverloadedError: Throttled, in conflict, timed out, or a server's error.
    """
    try:
        yield
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if status < _SERVER_ERROR and error.response["Error"]["Code"] not in _TRY_AGAIN:
            raise
        raise OverloadedError("The database could not do it now; try again.") from error
    except (ConnectionError, HTTPClientError) as error:
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
