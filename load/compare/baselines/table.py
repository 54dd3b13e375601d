"""A baseline's table through the service's own client, with the repeats that AWS recommends instead of the engine's."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Final

from counters import keys
from counters.errors import AccountNotFoundError, EntryNotFoundError, LimitReachedError, OverloadedError
from counters.model import Entry
from counters.stores.dynamodb.answers import AnswerError, ConditionFailedError
from counters.stores.dynamodb.client import DynamoClient
from counters.stores.dynamodb.failures import CONDITION_FAILED, cancellation_reasons, translated
from load.compare.baselines import layout
from load.compare.baselines.retries import repeated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random
    from typing import Any

    from types_aiobotocore_dynamodb.type_defs import AttributeValueTypeDef, KeysAndAttributesUnionTypeDef

_READS_MAX: Final = 3
"""As often as a call is sent: DynamoDB may leave out keys of a batch, which the SDK does not ask for again."""


class BaselineTable:
    """What the baselines do to their table.

    Each method may raise ``NotAppliedError``, ``OutcomeUnknownError`` or ``StoreRejectedError``, as the engine's store.

    Attributes:
        client: Sends the calls.
        name: The table's name.
        random: Source of new ids, and of whatever else a baseline draws.
    """

    def __init__(self, client: DynamoClient, name: str, random: Random) -> None:
        self.client = client
        self.name = name
        self.random = random

    def new_entry(self, name: str, entry_id: str | None) -> Entry:
        """Return an entry that starts now, under a random id unless the caller has one."""
        entry_id = entry_id or str(uuid.UUID(int=self.random.getrandbits(128), version=4))
        return Entry(id=entry_id, name=name, created_at_ms=time.time_ns() // 1_000_000)

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

    async def read_all(self, wanted_keys: Sequence[layout.Item]) -> Sequence[Mapping[str, AttributeValueTypeDef]]:
        """Return those of these items that there are.

        Raises:
            OverloadedError: Some keys were left out time and again.
        """
        wanted: Mapping[str, KeysAndAttributesUnionTypeDef] = {self.name: {"Keys": wanted_keys, "ConsistentRead": True}}
        found: list[Mapping[str, AttributeValueTypeDef]] = []
        for _ in range(_READS_MAX):
            with translated():
                answer = await self.client.batch_get_item(RequestItems=wanted)
            found += answer["Responses"].get(self.name, [])
            wanted = answer.get("UnprocessedKeys", {})
            if not wanted:
                return found
        raise OverloadedError("The database could not read all shards now; try again.")

    async def put(self, item: layout.Item) -> None:
        """Store an item."""
        with translated():
            await self.client.put_item(TableName=self.name, Item=item)

    async def delete_entry(self, account_id: str, entry_id: str) -> None:
        """Delete an entry.

        Raises:
            EntryNotFoundError: There is none.
        """
        with translated():
            try:
                await self.client.delete_item(**layout.deletion(self.name, account_id, entry_id))
            except ConditionFailedError as error:
                raise EntryNotFoundError(entry_id) from error

    async def add(self, account_id: str, delta: int, shard: int = 0) -> None:
        """Change the counter atomically, whatever it is."""
        with translated():
            await self.client.update_item(**layout.addition(self.name, account_id, delta, shard))

    async def add_if_room(self, account_id: str) -> None:
        """Count one up; the answer to a refusal shows the counter, which saves a read.

        Raises:
            AccountNotFoundError: There is no counter.
            LimitReachedError: There is no room.
        """
        with translated():
            try:
                await self.client.update_item(**layout.addition_if_room(self.name, account_id))
            except ConditionFailedError as error:
                raise _refusal(account_id, error.fields.get("Item")) from error

    async def transact(self, entry: layout.Item, count: layout.Item, account_id: str, entry_id: str) -> None:
        """Change an entry and its counter together, or neither.

        Args:
            entry: What becomes of the entry; its condition, if it has one, is that it is there.
            count: What becomes of the counter; its condition, if it has one, is that there is room.
            account_id: Whose they are.
            entry_id: The entry's id.

        Raises:
            EntryNotFoundError: There is no such entry.
            AccountNotFoundError: There is no counter.
            LimitReachedError: There is no room.
        """
        # The token is as the SDK's, so that a repeat of what was carried out changes nothing.
        payload = {"TransactItems": [entry, count], "ClientRequestToken": str(uuid.uuid4())}
        with translated():
            try:
                await self.client.send(action="TransactWriteItems", payload=payload)
            except AnswerError as error:
                match cancellation_reasons(error):
                    case [reason, _] if reason == CONDITION_FAILED:
                        raise EntryNotFoundError(entry_id) from error
                    case [_, reason] if reason == CONDITION_FAILED:
                        raise _refusal(account_id, error.fields["CancellationReasons"][1].get("Item")) from error
                raise


def make_table(client: DynamoClient, name: str, random: Random) -> BaselineTable:
    """Return a table whose calls are repeated as AWS recommends.

    Args:
        client: Sends each try.
        name: The table's name.
        random: Source of ids, shards and waits.
    """
    return BaselineTable(DynamoClient(repeated(client.send, random)), name, random)


def entry_item(account_id: str, entry: Entry) -> layout.Item:
    """Return an entry as it is stored."""
    return {
        **layout.entry_key(account_id, entry.id),
        keys.NAME: {"S": entry.name},
        keys.CREATED_AT: layout.number(entry.created_at_ms),
    }


def _refusal(account_id: str, counter: Mapping[str, Any] | None) -> AccountNotFoundError | LimitReachedError:
    """Return why a counter could not be counted up; None is for a counter that is not there."""
    if counter is None:
        return AccountNotFoundError(account_id)
    return LimitReachedError(layout.limit_of(counter), layout.count_of(counter))
