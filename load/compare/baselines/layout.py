"""The baselines' table: the engine's keys and names, an attribute for the count, and changes of it.

Standard library only, as a Lambda imports it.

| item | PK | SK | attributes |
| --- | --- | --- | --- |
| account | `ACCOUNT#<account>` | `ACCOUNT` | limit |
| counter, or a shard of it | `COUNTER#<account>#services#<shard>` | `COUNTER` | count; limit where it is checked here |
| entry | `ENTRIES#<account>#services#0` | `<entry id>` | name, created_at |
"""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from counters import keys
from counters.keys import SERVICES, CounterKey, PrimaryKey

Item: TypeAlias = dict[str, Any]
"""Attributes by name, each a value in DynamoDB's typed form."""

COUNT: Final = "count"

SHARDS: Final = 10
"""Items of a sharded counter. The other counters are one item, shard 0."""


def number(value: int) -> dict[str, str]:
    """Return a whole number as an attribute value."""
    return {"N": str(value)}


def account_key(account_id: str) -> Item:
    """Return the key of an account's item."""
    return _key(keys.account_key(account_id))


def counter_key(account_id: str, shard: int = 0) -> Item:
    """Return the key of an account's counter or of one shard of it."""
    pk, sk = keys.counter_key(CounterKey(account_id, SERVICES))
    return _key(PrimaryKey(f"{pk}#{shard}", sk))


def entry_key(account_id: str, entry_id: str) -> Item:
    """Return the key of an entry: all of an account's are in one partition."""
    return _key(PrimaryKey(keys.entries_pk(CounterKey(account_id, SERVICES), 0), entry_id))


def counted(count: int) -> Item:
    """Return the attribute of a counter."""
    return {COUNT: number(count)}


def limited(limit: int) -> Item:
    """Return the attribute of whatever keeps the limit."""
    return {keys.LIMIT: number(limit)}


def addition(table: str, account_id: str, delta: int, shard: int = 0) -> Item:
    """Return the update that changes a counter, or a shard of it, by so much."""
    return {
        "TableName": table,
        "Key": counter_key(account_id, shard),
        "UpdateExpression": "ADD #count :delta",
        "ExpressionAttributeNames": {"#count": COUNT},
        "ExpressionAttributeValues": {":delta": number(delta)},
    }


def addition_if_room(table: str, account_id: str) -> Item:
    """Return the update that counts one more where count and limit are beside each other, if there is room.

    A refusal shows the counter.
    """
    return {
        **addition(table, account_id, 1),
        "ConditionExpression": "#count < #limit",
        "ExpressionAttributeNames": {"#count": COUNT, "#limit": keys.LIMIT},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def deletion(table: str, account_id: str, entry_id: str) -> Item:
    """Return the delete of an entry, if it is there."""
    return {
        "TableName": table,
        "Key": entry_key(account_id, entry_id),
        "ConditionExpression": f"attribute_exists({keys.PK})",
    }


def count_of(item: Mapping[str, Any]) -> int:
    """Return what a counter says."""
    return int(item[COUNT]["N"])


def limit_of(item: Mapping[str, Any]) -> int:
    """Return the limit that an item keeps."""
    return int(item[keys.LIMIT]["N"])


def _key(key: PrimaryKey) -> Item:
    return {keys.PK: {"S": key.pk}, keys.SK: {"S": key.sk}}
