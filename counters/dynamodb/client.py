"""The DynamoDB client: the SDK finds region, endpoint and credentials, aiodynamo makes the calls.

The SDK's own way from a call to its request costs several times what the request itself does.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol, Unpack, cast

import aioboto3
from aiobotocore.session import get_session
from aiodynamo.client import Client
from aiodynamo.credentials import Credentials, Key
from aiodynamo.http.types import HttpImplementation
from botocore.exceptions import NoCredentialsError
from yarl import URL

from counters.dynamodb.failures import translated
from counters.dynamodb.wire import OneTry, open_wire
from counters.errors import StoreRejectedError

if TYPE_CHECKING:
    from aiobotocore.credentials import AioCredentials
    from botocore.credentials import ReadOnlyCredentials
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

    async def batch_write_item(self, **request: Unpack[t.BatchWriteItemInputTypeDef]) -> t.BatchWriteItemOutputTypeDef:
        """Write or delete up to 25 items."""
        return cast("t.BatchWriteItemOutputTypeDef", await self.send(action="BatchWriteItem", payload=request))

    async def transact_write_items(
        self, **request: Unpack[t.TransactWriteItemsInputTypeDef]
    ) -> t.TransactWriteItemsOutputTypeDef:
        """Write all items or none."""
        return cast("t.TransactWriteItemsOutputTypeDef", await self.send(action="TransactWriteItems", payload=request))


@asynccontextmanager
async def open_client(try_timeout_s: float = 2.5) -> AsyncIterator[DynamoClient]:
    """Open the process's one DynamoDB client; endpoint, region and credentials come from the SDK's usual places.

    Args:
        try_timeout_s: Longest time that one call waits for its answer, in seconds. Half of an operation's deadline
            leaves a stuck call time for another try.

    Raises:
        StoreRejectedError: The SDK's own settings are incomplete, such as a missing region.
    """
    core = get_session()
    with translated():
        # botocore reads AWS_DEFAULT_REGION only; Lambda, ECS and the other SDKs set AWS_REGION.
        session = aioboto3.Session(region_name=os.environ.get("AWS_REGION") or None, botocore_session=core)
        try:
            async with session.client("dynamodb") as sdk:
                endpoint, region = URL(sdk.meta.endpoint_url), sdk.meta.region_name
        except ValueError as error:
            raise StoreRejectedError(str(error)) from error
        credentials = _SdkCredentials(await core.get_credentials())
    async with open_wire(endpoint, core.get_config_variable("ca_bundle"), try_timeout_s) as wire:
        yield DynamoClient(Client(wire, credentials, region, endpoint, throttle_config=OneTry()).send_request)


class _SdkCredentials(Credentials):
    """What the SDK found, which it refreshes by itself when it has to."""

    def __init__(self, found: AioCredentials | None) -> None:
        self._found = found
        self._frozen: ReadOnlyCredentials | None = None
        self._key: Key | None = None

    async def get_key(self, http: HttpImplementation) -> Key | None:  # noqa: ARG002 - the SDK has its own
        if self._found is None:
            raise NoCredentialsError
        frozen = await self._found.get_frozen_credentials()
        if frozen != self._frozen:
            if not frozen.access_key or not frozen.secret_key:
                raise NoCredentialsError
            self._frozen = frozen
            self._key = Key(frozen.access_key, frozen.secret_key, frozen.token)
        return self._key

    def invalidate(self) -> bool:
        return False

    def is_disabled(self) -> bool:
        return False
