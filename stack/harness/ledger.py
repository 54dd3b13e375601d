"""The table behind the service, read without any of the service's code but the names in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from counters import keys
from counters.keys import SERVICES, CounterKey, PrimaryKey
from stack import aws

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef


class Counters(NamedTuple):
    """Both counters of an account's services.

    Attributes:
        best_effort: Right now.
        eventual: Exact, a moment late.
    """

    best_effort: int
    eventual: int


class TableReader(NamedTuple):
    """A table, for checks from outside.

    Attributes:
        endpoint: Address of what holds it; not of an injector of faults.
        name: Its name.
    """

    endpoint: str
    name: str

    def counters(self, account_id: str) -> Counters:
        """Return an account's counters."""
        key = CounterKey(account_id, SERVICES)
        return Counters(
            self._number(keys.counter_key(key), keys.BEST_EFFORT), self._number(keys.exact_key(key), keys.EVENTUAL)
        )

    def _number(self, key: PrimaryKey, attribute: str) -> int:
        answer = aws.dynamodb_client(self.endpoint).get_item(
            TableName=self.name, Key={keys.PK: {"S": key.pk}, keys.SK: {"S": key.sk}}, ConsistentRead=True
        )
        return int(answer["Item"][attribute]["N"])

    def entries(self, account_id: str) -> set[str]:
        """Return the ids in an account's ledger of one slot."""
        parts = (
            aws.dynamodb_client(self.endpoint)
            .get_paginator("query")
            .paginate(
                TableName=self.name,
                KeyConditionExpression="PK = :pk",
                ExpressionAttributeValues={":pk": {"S": keys.entries_pk(CounterKey(account_id, SERVICES), 0)}},
                ConsistentRead=True,
            )
        )
        return {entry_id for part in parts for item in part["Items"] for entry_id in amounts(item)}


def amounts(page: Mapping[str, AttributeValueTypeDef]) -> dict[str, int]:
    """Return what each entry of a page counts, by its id; an item of a compared strategy is one entry."""
    page_id = page[keys.SK]["S"]
    if keys.ENTRIES not in page:
        return {page_id: 1}
    entries = page[keys.ENTRIES].get("M", {})
    return {
        keys.id_at(page_id, int(place)): int(entry["L"][1]["N"]) if "L" in entry else 1
        for place, entry in entries.items()
    }
