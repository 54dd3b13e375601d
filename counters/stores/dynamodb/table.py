"""Calls that are about items of any kind: read, change if a condition holds, list a partition."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, cast

from counters import keys
from counters.errors import NotAppliedError
from counters.keys import PrimaryKey
from counters.stores.dynamodb import items
from counters.stores.dynamodb.answers import ConditionFailedError
from counters.stores.dynamodb.client import DynamoClient
from counters.stores.dynamodb.conditions import Condition
from counters.stores.dynamodb.failures import translated

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.type_defs import PutItemInputTypeDef

_BATCH_GET_MAX: Final = 100
"""Most items in one call; DynamoDB's limit."""


class Table:
    """A table in DynamoDB; every read is strongly consistent, and every method raises ``StoreError``.

    Attributes:
        name: Its name.
    """

    def __init__(self, client: DynamoClient, name: str) -> None:
        self._client = client
        self.name = name

    async def get(self, key: PrimaryKey) -> items.Item | None:
        """Return an item; None when there is none."""
        with translated():
            answer = await self._client.get_item(TableName=self.name, Key=items.key_item(key), ConsistentRead=True)
        return answer.get("Item")

    async def get_all(self, wanted: Sequence[PrimaryKey]) -> dict[PrimaryKey, items.Item]:
        """Return those of these items that exist, by key."""
        parts = [wanted[start : start + _BATCH_GET_MAX] for start in range(0, len(wanted), _BATCH_GET_MAX)]
        found = await asyncio.gather(*(self._get_part(part) for part in parts))
        return {key: item for part in found for key, item in part.items()}

    async def _get_part(self, wanted: Sequence[PrimaryKey]) -> dict[PrimaryKey, items.Item]:
        with translated():
            answer = await self._client.batch_get_item(
                RequestItems={
                    self.name: {"Keys": [items.key_item(key) for key in wanted], "ConsistentRead": True},
                }
            )
        if answer.get("UnprocessedKeys"):
            raise NotAppliedError("DynamoDB did not get to read every key.")
        found = answer["Responses"].get(self.name, [])
        return {PrimaryKey(item[keys.PK]["S"], item[keys.SK]["S"]): item for item in found}

    async def put(self, item: items.NewItem, condition: Condition) -> items.Item | None:
        """Put an item, if a condition holds.

        Returns:
            None when it was put; else the item that has the key, empty when there is none.
        """
        call: PutItemInputTypeDef = {
            "TableName": self.name,
            "Item": item,
            "ConditionExpression": condition.text,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        if condition.names:
            call["ExpressionAttributeNames"] = condition.names
        if condition.values:
            call["ExpressionAttributeValues"] = condition.values
        with translated():
            try:
                await self._client.put_item(**call)
            except ConditionFailedError as error:
                return item_of(error)
        return None

    async def set(self, key: PrimaryKey, change: items.NewItem, condition: Condition) -> items.Item:
        """Set attributes, if a condition holds; return the item as it is now, empty when there is none."""
        assignments = ", ".join(f"#{attribute} = :{attribute}" for attribute in change)
        names = {f"#{attribute}": attribute for attribute in change}
        values = {f":{attribute}": value for attribute, value in change.items()}
        return await self.update(key, f"SET {assignments}", names, values, condition)

    async def update(
        self, key: PrimaryKey, update: str, names: Mapping[str, str], values: items.NewItem, condition: Condition
    ) -> items.Item:
        """Change an item, if a condition holds; return it as it is now, empty when there is none."""
        with translated():
            try:
                answer = await self._client.update_item(
                    TableName=self.name,
                    Key=items.key_item(key),
                    UpdateExpression=update,
                    ConditionExpression=condition.text,
                    ExpressionAttributeNames={**names, **condition.names},
                    ExpressionAttributeValues={**values, **condition.values},
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except ConditionFailedError as error:
                return item_of(error)
        return answer["Attributes"]

    async def change(
        self, key: PrimaryKey, update: str, names: Mapping[str, str], values: items.NewItem, condition: Condition
    ) -> bool:
        """Change an item, if a condition holds; return whether it did."""
        with translated():
            try:
                await self._client.update_item(
                    TableName=self.name,
                    Key=items.key_item(key),
                    UpdateExpression=update,
                    ConditionExpression=condition.text,
                    ExpressionAttributeNames={**names, **condition.names},
                    ExpressionAttributeValues={**values, **condition.values},
                )
            except ConditionFailedError:
                return False
        return True

    async def query(
        self, pk: str, limit: int, after: str | None, operator: str = ">"
    ) -> tuple[Sequence[items.Item], bool]:
        """Return a partition's items past a sort key, or from it on, and whether more follow."""
        # One item more than wanted tells whether more follow; DynamoDB's own sign may point at an empty page.
        values = {":pk": items.string(pk)}
        condition = f"{keys.PK} = :pk"
        if after is not None:
            condition += f" AND {keys.SK} {operator} :after"
            values[":after"] = items.string(after)
        with translated():
            answer = await self._client.query(
                TableName=self.name,
                KeyConditionExpression=condition,
                ExpressionAttributeValues=values,
                Limit=limit + 1,
                ConsistentRead=True,
            )
        found = answer["Items"]
        # A page of 1 MB ends early.
        return found[:limit], len(found) > limit or "LastEvaluatedKey" in answer


def item_of(error: ConditionFailedError) -> items.Item:
    """Return the item that a refused condition was checked against; empty when there is none."""
    return cast("items.Item", error.fields.get("Item", {}))
