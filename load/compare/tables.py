"""A strategy's table, read past the service: what is in it, what its exact count says, and what happened to both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from counters import keys
from counters.keys import SERVICES, CounterKey
from load.compare.baselines import layout
from load.server import ENGINE
from stack import aws
from stack.harness.history import Recorder
from stack.harness.ledger import TableReader

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from load.compare.strategies import Strategy


class _Names(NamedTuple):
    """Where an account's entries and its exact count are.

    Attributes:
        entries_pk: The entries' partition.
        counters: Keys of all items that the count is the sum of.
        attribute: What it is called there.
    """

    entries_pk: str
    counters: Sequence[Mapping[str, Any]]
    attribute: str


class WatchedTable:
    """A strategy's table, and all that is written to it from now on."""

    def __init__(self, endpoint: str, strategy: Strategy, table: str) -> None:
        self._strategy = strategy
        self._table = table
        self._client = aws.dynamodb_client(endpoint)
        self._recorder = Recorder(TableReader(endpoint, table))

    def count(self, account_id: str) -> int:
        """Return what the strategy says is exact, perhaps a moment late."""
        names = self._names(account_id)
        answer = self._client.batch_get_item(
            RequestItems={self._table: {"Keys": names.counters, "ConsistentRead": True}}
        )
        return sum(int(item[names.attribute]["N"]) for item in answer["Responses"][self._table])

    def total(self, account_id: str) -> int:
        """Return how many entries there are."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="PK = :pk",
            ExpressionAttributeValues={":pk": {"S": self._names(account_id).entries_pk}},
            Select="COUNT",
            ConsistentRead=True,
        )
        return sum(page["Count"] for page in pages)

    def most(self, account_id: str) -> int:
        """Return how many entries there ever were at once, by the table's stream."""
        entries_pk = self._names(account_id).entries_pk
        now, most = 0, 0
        for record in self._recorder.records():
            if record["dynamodb"]["Keys"][layout.PK]["S"] == entries_pk:
                now += {"INSERT": 1, "REMOVE": -1}.get(record["eventName"], 0)
                most = max(most, now)
        return most

    def settlements(self, account_id: str) -> int:
        """Return how often the Lambda, if there is one, wrote the account's count: one write unit each."""
        if not self._strategy.stream_fed:
            return 0
        names = self._names(account_id)
        changes = (record["dynamodb"] for record in self._recorder.records() if record["eventName"] == "MODIFY")
        return sum(
            change["OldImage"][names.attribute] != change["NewImage"][names.attribute]
            for change in changes
            if change["Keys"] in names.counters
        )

    def _names(self, account_id: str) -> _Names:
        if self._strategy.entries == ENGINE:
            key = CounterKey(account_id, SERVICES)
            pk, sk = keys.counter_key(key)
            return _Names(keys.entries_pk(key, 0), [{keys.PK: {"S": pk}, keys.SK: {"S": sk}}], keys.EVENTUAL)
        shards = [layout.counter_key(account_id, shard) for shard in range(layout.SHARDS)]
        return _Names(layout.entries_pk(account_id), shards, layout.COUNT)
