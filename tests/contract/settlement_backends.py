"""Backends for the settlement store's contract: set-up and inspection that bypass the code under test."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from counters import keys
from counters.keys import CounterKey, PrimaryKey
from counters.model import Census
from counters.settlement import Mark
from counters.stores.dynamodb.items import exact_item
from counters.stores.memory import MemoryStore
from stack.provision import create_table
from stream_lambda.store import Boto3SettlementStore
from tests.support import factories

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

    from counters.settlement import SettlementStore

BEST_EFFORT = 7
"""Of every counter that is made here; settling must not change it."""


class RawCounter(NamedTuple):
    """A counter as it is stored, as far as settling may touch it or must not."""

    eventual: int
    best_effort: int
    settled_at_ms: int | None
    marks: Mapping[str, Mark]
    census: Census | None = None
    last_census: int | None = None


class SettlementBackend(Protocol):
    """A store under test and direct access to what it stores."""

    store: "SettlementStore"

    def add_counter(
        self, eventual: int, marks: Mapping[str, Mark], *, census: Census | None = None, last_census: int | None = None
    ) -> CounterKey:
        """Store a counter that was never settled, but for these marks and censuses, and return its new key."""

    def read_counter(self, key: CounterKey) -> RawCounter | None:
        """Return what is stored."""


class MemoryBackend:
    """The store in memory."""

    def __init__(self) -> None:
        self._memory = MemoryStore()
        self.store: SettlementStore = self._memory

    def add_counter(
        self, eventual: int, marks: Mapping[str, Mark], *, census: Census | None = None, last_census: int | None = None
    ) -> CounterKey:
        """See ``SettlementBackend``."""
        counter = msgspec.structs.replace(
            factories.counter(), best_effort=BEST_EFFORT, eventual=eventual, census=census, last_census=last_census
        )
        self._memory._counters[counter.key] = counter
        self._memory._marks[counter.key] = dict(marks)
        return counter.key

    def read_counter(self, key: CounterKey) -> RawCounter | None:
        """See ``SettlementBackend``."""
        counter = self._memory._counters.get(key)
        if counter is None:
            return None
        return RawCounter(
            counter.eventual,
            counter.best_effort,
            counter.settled_at_ms,
            dict(self._memory._marks[counter.key]),
            counter.census,
            counter.last_census,
        )


class DynamoBackend:
    """The Lambda's store on a table of its own."""

    def __init__(self, client: "DynamoDBClient") -> None:
        self._client = client
        self._table_name = create_table(client.meta.endpoint_url)
        self.store: SettlementStore = Boto3SettlementStore(client, self._table_name)

    def add_counter(
        self, eventual: int, marks: Mapping[str, Mark], *, census: Census | None = None, last_census: int | None = None
    ) -> CounterKey:
        """See ``SettlementBackend``."""
        counter = msgspec.structs.replace(
            factories.counter(), eventual=eventual, census=census, last_census=last_census
        )
        self._client.put_item(
            TableName=self._table_name,
            Item={**_key_item(keys.counter_key(counter.key)), keys.BEST_EFFORT: _number(BEST_EFFORT)},
        )
        self._client.put_item(
            TableName=self._table_name,
            Item={
                **exact_item(counter),
                keys.MARKS: {
                    "M": {
                        shard: {
                            "M": {keys.MARK_SEQUENCE: _sequence(mark.sequence), keys.MARK_AT: _number(mark.at_ms)},
                        }
                        for shard, mark in marks.items()
                    }
                },
            },
        )
        return counter.key

    def read_counter(self, key: CounterKey) -> RawCounter | None:
        """See ``SettlementBackend``."""
        item = self._get(keys.exact_key(key))
        if item is None:
            return None
        return RawCounter(
            int(item[keys.EVENTUAL]["N"]),
            int((self._get(keys.counter_key(key)) or {})[keys.BEST_EFFORT]["N"]),
            int(item[keys.SETTLED_AT]["N"]) if keys.SETTLED_AT in item else None,
            {
                shard: Mark(_whole(mark["M"][keys.MARK_SEQUENCE]), int(mark["M"][keys.MARK_AT]["N"]))
                for shard, mark in item[keys.MARKS]["M"].items()
            },
            _read_census(item),
            int(item[keys.LAST_CENSUS]["N"]) if keys.LAST_CENSUS in item else None,
        )

    def _get(self, key: PrimaryKey) -> "Mapping[str, AttributeValueTypeDef] | None":
        answer = self._client.get_item(TableName=self._table_name, Key=_key_item(key), ConsistentRead=True)
        return answer.get("Item")


def _key_item(key: PrimaryKey) -> "dict[str, AttributeValueTypeDef]":
    return {keys.PK: {"S": key.pk}, keys.SK: {"S": key.sk}}


def _read_census(item: "Mapping[str, AttributeValueTypeDef]") -> Census | None:
    if keys.CENSUS not in item:
        return None
    pages = int(item[keys.CENSUS_PAGES]["N"]) if keys.CENSUS_PAGES in item else None
    total, answers = (int(item[attribute]["N"]) for attribute in (keys.CENSUS_TOTAL, keys.CENSUS_ANSWERS))
    return Census(line=int(item[keys.CENSUS]["N"]), pages=pages, total=total, answers=answers)


def _number(value: int) -> "AttributeValueTypeDef":
    return {"N": str(value)}


def _sequence(value: int) -> "AttributeValueTypeDef":
    """Return a sequence number as it is stored: a number of up to 37 digits, beyond that text of 64 digits."""
    return _number(value) if value < 10**37 else {"S": f"{value:064}"}


def _whole(value: "AttributeValueTypeDef") -> int:
    return int(value["N"] if "N" in value else value["S"])
