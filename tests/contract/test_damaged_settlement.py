"""Settling counters that a person damaged: one of them holds up no other, on every backend of the Lambda's store."""

from collections.abc import Iterator

import boto3
import pytest

from counters import keys
from counters.keys import CounterKey
from counters.settlement import Mark, RecordTotals, Settled, Settlement, Unsettled, settle_batch
from counters.stores.dynamodb.items import counter_item, exact_item, key_item
from stack.provision import create_table
from stream_lambda.store import Boto3SettlementStore
from tests.support import factories
from tests.support.factories import NOW_MS
from tests.support.hands import Damage, DynamoHand

SHARD = "1414576573621-f55eea83"
SETTLEMENT = Settlement(SHARD, first=5, last=6, delta=2, at_ms=NOW_MS)
DAMAGED = Unsettled(None, is_damaged=True)
CANNOT_BE_SETTLED = [
    Damage("eventual", {"S": "3"}),
    Damage("eventual", {"NULL": True}),
    Damage("marks", None),
    Damage("marks", {"L": []}),
    Damage("marks", {"M": {SHARD: {"S": "x"}}}),
    Damage("marks", {"M": {SHARD: {"M": {}}}}),
    Damage("marks", {"M": {SHARD: {"M": {"s": {"S": "x"}, "t": {"N": "1"}}}}}),
    # Text without its leading zeros is above every sequence number.
    Damage("marks", {"M": {SHARD: {"M": {"s": {"S": "5"}, "t": {"N": "1"}}}}}),
    Damage("census", {"S": "now"}),
    Damage("last_census", {"S": "now"}),
]
CAN_BE_SETTLED = [
    Damage("best_effort", {"S": "x"}),
    Damage("slots", None),
    Damage("settled_at", {"S": "now"}),
    Damage("marks", {"M": {"other": {"S": "x"}, "another": {"M": {"s": {"N": "1.5"}}}}}),
]


class TableWithDamage:
    """A table with counters, and the store under test."""

    def __init__(self, endpoint: str) -> None:
        self._client = boto3.client("dynamodb", endpoint_url=endpoint)
        self._name = create_table(endpoint)
        self.hand = DynamoHand(self._client, self._name)
        self.store = Boto3SettlementStore(self._client, self._name)

    def add_counter(self) -> CounterKey:
        counter = factories.counter()
        for item in (counter_item(counter), exact_item(counter)):
            self._client.put_item(TableName=self._name, Item=item)
        return counter.key

    def read(self, key: CounterKey) -> object:
        return self._client.get_item(TableName=self._name, Key=key_item(keys.exact_key(key)))["Item"]

    def close(self) -> None:
        self._client.close()


@pytest.fixture
def table(dynamodb_endpoint: str) -> Iterator[TableWithDamage]:
    """Yield a table of each server in turn; moto is none of them, as it takes an addition to a string for a success."""
    table = TableWithDamage(dynamodb_endpoint)
    yield table
    table.close()


async def test_a_damaged_counter_is_told_and_not_changed(table: TableWithDamage) -> None:
    for damage in CANNOT_BE_SETTLED:
        key = table.add_counter()
        table.hand.set_counter(key, *damage)
        before = table.read(key)
        assert await table.store.settle(key, SETTLEMENT) == DAMAGED, damage
        assert table.read(key) == before


async def test_what_settling_does_not_need_does_not_keep_it(table: TableWithDamage) -> None:
    for damage in CAN_BE_SETTLED:
        key = table.add_counter()
        table.hand.set_counter(key, *damage)
        assert await table.store.settle(key, SETTLEMENT) == Settled({SHARD: Mark(6, NOW_MS)}), damage
        # A redelivery reads the same item.
        assert await table.store.settle(key, SETTLEMENT) == Unsettled({SHARD: Mark(6, NOW_MS)}), damage


async def test_a_batch_settles_all_others(table: TableWithDamage) -> None:
    damaged, sound = table.add_counter(), table.add_counter()
    table.hand.set_counter(damaged, "marks", {"L": []})
    changes = [factories.page_change(key, number, 1) for number, key in enumerate((damaged, sound, damaged), start=1)]
    tally = await settle_batch(table.store, SHARD, changes, NOW_MS)
    assert (tally.counters, tally.damaged) == (2, (damaged,))
    assert tally.records == RecordTotals(settled=1, delta=1, damaged=2)
