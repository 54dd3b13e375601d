"""The baselines' table: keys and attributes. Standard library only, as a Lambda imports it.

| item | PK | SK | attributes |
| --- | --- | --- | --- |
| account | `ACCOUNT#<account>` | `ACCOUNT` | limit |
| counter, or a shard of it | `COUNTER#<account>#<shard>` | `COUNTER` | count, limit where it is checked in place |
| entry | `ENTRIES#<account>` | `<entry id>` | name, created_at |
"""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

Item: TypeAlias = dict[str, Any]
"""Attributes by name, each a value in DynamoDB's typed form."""

PK: Final = "PK"
SK: Final = "SK"
COUNT: Final = "count"
LIMIT: Final = "limit"
NAME: Final = "name"
CREATED_AT: Final = "created_at"

SHARDS: Final = 10
"""Items of a sharded counter. The other counters are one item, shard 0."""

ENTRIES_PREFIX: Final = "ENTRIES#"


def text(value: str) -> dict[str, str]:
    """Return a string as an attribute value."""
    return {"S": value}


def number(value: int) -> dict[str, str]:
    """Return a whole number as an attribute value."""
    return {"N": str(value)}


def account_key(account_id: str) -> Item:
    """Return the key of an account's item."""
    return {PK: text(f"ACCOUNT#{account_id}"), SK: text("ACCOUNT")}


def counter_key(account_id: str, shard: int = 0) -> Item:
    """Return the key of an account's counter or of one shard of it."""
    return {PK: text(f"COUNTER#{account_id}#{shard}"), SK: text("COUNTER")}


def entries_pk(account_id: str) -> str:
    """Return the partition that holds an account's entries."""
    return f"{ENTRIES_PREFIX}{account_id}"


def entry_key(account_id: str, entry_id: str) -> Item:
    """Return the key of an entry."""
    return {PK: text(entries_pk(account_id)), SK: text(entry_id)}


def counted(count: int) -> Item:
    """Return the attribute of a counter."""
    return {COUNT: number(count)}


def limited(limit: int) -> Item:
    """Return the attribute of whatever keeps the limit."""
    return {LIMIT: number(limit)}


def limited_counter(account_id: str, limit: int) -> Item:
    """Return a new counter with its limit beside its count, so that a condition can compare them."""
    return {**counter_key(account_id), **counted(0), **limited(limit)}


def add_if_room(table: str, account_id: str) -> Item:
    """Return the update that counts one more in such a counter, on the condition that there is room.

    A refusal shows the counter.
    """
    return {
        "TableName": table,
        "Key": counter_key(account_id),
        "UpdateExpression": "ADD #count :one",
        "ConditionExpression": "#count < #limit",
        "ExpressionAttributeNames": {"#count": COUNT, "#limit": LIMIT},
        "ExpressionAttributeValues": {":one": number(1)},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def count_of(item: Mapping[str, Any]) -> int:
    """Return what a counter says."""
    return int(item[COUNT]["N"])


def limit_of(item: Mapping[str, Any]) -> int:
    """Return the limit that an item keeps."""
    return int(item[LIMIT]["N"])
