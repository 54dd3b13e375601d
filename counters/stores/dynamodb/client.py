"""The DynamoDB client: the SDK finds region, endpoint and credentials, aiodynamo signs the calls, aiohttp sends them.

The SDK's own way from a call to its request costs several times what the request itself does.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol, Unpack, cast

import aioboto3
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore import UNSIGNED
from botocore.exceptions import BotoCoreError
from yarl import URL

from counters.errors import StoreRejectedError
from counters.stores.dynamodb.credentials import SigningKeys
from counters.stores.dynamodb.wire import open_wire

if TYPE_CHECKING:
    from aiobotocore.session import AioSession
    from types_aiobotocore_dynamodb import type_defs as t


class Send(Protocol):
    """Sends one call; whoever wants to watch or change what is sent puts one of these around another."""

    async def __call__(self, *, action: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer of an operation of DynamoDB, both in its own JSON."""


class DynamoClient:
    """DynamoDB's operations, as many as are used here; each call is one try.

    Attributes:
        send: What sends the calls.
    """

    def __init__(self, send: Send) -> None:
        self.send = send

    async def get_item(self, **request: Unpack[t.GetItemInputTypeDef]) -> t.GetItemOutputTypeDef:
        """Read an item."""
        return cast("t.GetItemOutputTypeDef", await self.send(action="GetItem", payload=request))

    async def batch_get_item(self, **request: Unpack[t.BatchGetItemInputTypeDef]) -> t.BatchGetItemOutputTypeDef:
        """Read up to 100 items."""
        return cast("t.BatchGetItemOutputTypeDef", await self.send(action="BatchGetItem", payload=request))

    async def query(self, **request: Unpack[t.QueryInputTypeDef]) -> t.QueryOutputTypeDef:
        """Read a page of one partition."""
        return cast("t.QueryOutputTypeDef", await self.send(action="Query", payload=request))

    async def put_item(self, **request: Unpack[t.PutItemInputTypeDef]) -> t.PutItemOutputTypeDef:
        """Write an item."""
        return cast("t.PutItemOutputTypeDef", await self.send(action="PutItem", payload=request))

    async def update_item(self, **request: Unpack[t.UpdateItemInputTypeDef]) -> t.UpdateItemOutputTypeDef:
        """Change an item."""
        return cast("t.UpdateItemOutputTypeDef", await self.send(action="UpdateItem", payload=request))

    async def delete_item(self, **request: Unpack[t.DeleteItemInputTypeDef]) -> t.DeleteItemOutputTypeDef:
        """Delete an item."""
        return cast("t.DeleteItemOutputTypeDef", await self.send(action="DeleteItem", payload=request))

    async def batch_execute_statement(
        self, **request: Unpack[t.BatchExecuteStatementInputTypeDef]
    ) -> t.BatchExecuteStatementOutputTypeDef:
        """Carry out up to 25 statements of PartiQL, each by itself."""
        answer = await self.send(action="BatchExecuteStatement", payload=request)
        return cast("t.BatchExecuteStatementOutputTypeDef", answer)

    async def transact_write_items(
        self, **request: Unpack[t.TransactWriteItemsInputTypeDef]
    ) -> t.TransactWriteItemsOutputTypeDef:
        """Write all items or none."""
        return cast("t.TransactWriteItemsOutputTypeDef", await self.send(action="TransactWriteItems", payload=request))


@asynccontextmanager
async def open_client(try_timeout_s: float = 2.5) -> AsyncIterator[DynamoClient]:
    """Open the process's one DynamoDB client; endpoint, region and credentials come from the SDK's usual places.

    Credentials that cannot be had yet are no error: calls fail with ``NotAppliedError`` until there are some.

    Args:
        try_timeout_s: Longest time from asking for one call to its answer, in seconds. Half of an operation's deadline
            leaves a stuck call time for another try.

    Raises:
        StoreRejectedError: The SDK's own settings cannot be used, such as a missing region or an unknown profile.
    """
    core, keys = get_session(), SigningKeys()
    try:
        endpoint, region = await _find_endpoint(core)
        ca_bundle = core.get_config_variable("ca_bundle")
        await keys.start()
    except (BotoCoreError, ValueError) as error:
        raise StoreRejectedError(str(error)) from error
    try:
        async with open_wire(endpoint, region, keys, ca_bundle, try_timeout_s) as wire:
            yield DynamoClient(wire.send)
    finally:
        await keys.close()


async def _find_endpoint(core: AioSession) -> tuple[URL, str]:
    """Return DynamoDB's address and region."""
    # botocore reads AWS_DEFAULT_REGION only; Lambda, ECS and the other SDKs set AWS_REGION.
    session = aioboto3.Session(region_name=os.environ.get("AWS_REGION") or None, botocore_session=core)
    # Unsigned, as it would look for credentials otherwise, and fail where there are none yet.
    async with session.client("dynamodb", config=AioConfig(signature_version=UNSIGNED)) as sdk:
        return URL(sdk.meta.endpoint_url), sdk.meta.region_name
