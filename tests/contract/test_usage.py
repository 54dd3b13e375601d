"""The meter's units: of writes as MiniStack says, of reads as DynamoDB Local would (each is wrong about the other)."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

from counters.dynamodb import open_store
from load.usage import Meter, Units, Usage
from stack.provision import create_table
from tests import factories

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient


class Metered:
    """A client with a meter, and a table for it."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self.client = client
        self.table = table
        self.meter = Meter(client, units=True)

    async def put(self, item_id: str, size: int = 1, **options: Any) -> None:  # noqa: ANN401 - the SDK's own
        """Put an item of about this size."""
        item = {**_key(item_id), "name": {"S": "x" * size}, "amount": {"N": "-12"}, "marks": {"M": {"s": {"N": "1"}}}}
        await self.client.put_item(TableName=self.table, Item=item, **options)


def _key(item_id: str) -> dict[str, Any]:
    return {"PK": {"S": "partition"}, "SK": {"S": item_id}}


@pytest.fixture
async def on_ministack(ministack_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Metered]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", ministack_endpoint)
    async with open_store(table := create_table(ministack_endpoint)) as store:
        yield Metered(store.client, table)


@pytest.fixture
async def on_dynamodb_local(dynamodb_local_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Metered]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", dynamodb_local_endpoint)
    async with open_store(table := create_table(dynamodb_local_endpoint)) as store:
        yield Metered(store.client, table)


async def test_each_kind_of_write_has_its_price(on_ministack: Metered) -> None:
    client, table, meter = on_ministack.client, on_ministack.table, on_ministack.meter

    async def price(call: Any) -> float:  # noqa: ANN401 - any call's coroutine
        before = meter.usage
        await call
        used = meter.usage - before
        assert used.units
        assert (used.total_calls, used.units.read) == (1, 0)
        return used.units.write

    # The larger of an item's old and new size counts, so these are items that nobody wrote yet.
    put = {"Put": {"TableName": table, "Item": _key("c")}}
    update = {"Update": {"TableName": table, "Key": _key("d"), "UpdateExpression": "ADD n :one"}}
    update["Update"]["ExpressionAttributeValues"] = {":one": {"N": "1"}}
    batch = [{"PutRequest": {"Item": _key(str(number))}} for number in range(25)]
    assert await price(on_ministack.put("a")) == 1
    assert await price(on_ministack.put("a", size=1500)) == 2
    assert await price(client.batch_write_item(RequestItems={table: batch})) == 25  # type: ignore[dict-item]
    assert await price(client.transact_write_items(TransactItems=[put, update])) == 4  # type: ignore[list-item]


async def test_a_refused_write_is_billed(on_ministack: Metered) -> None:
    client, table = on_ministack.client, on_ministack.table
    absent = "attribute_not_exists(PK)"
    await on_ministack.put("a")
    before = on_ministack.meter.usage
    with pytest.raises(client.exceptions.ConditionalCheckFailedException):
        await on_ministack.put("a", ConditionExpression=absent)
    with pytest.raises(client.exceptions.TransactionCanceledException):
        await client.transact_write_items(
            TransactItems=[
                {"Put": {"TableName": table, "Item": _key("a"), "ConditionExpression": absent}},
                {"Put": {"TableName": table, "Item": _key("b")}},
            ]
        )
    expected = Usage({"PutItem": 1, "TransactWriteItems": 1}, Units(write=2.0, read=0.0))
    assert on_ministack.meter.usage - before == expected


@pytest.mark.parametrize("size", [1, 3_000, 4_060, 9_000])
@pytest.mark.parametrize("consistent", ["", "strongly"])
async def test_reads_cost_what_dynamodb_local_says(on_dynamodb_local: Metered, size: int, consistent: str) -> None:
    client, table, meter = on_dynamodb_local.client, on_dynamodb_local.table, on_dynamodb_local.meter
    await on_dynamodb_local.put("a", size)
    await on_dynamodb_local.put("b", size)
    told = [0.0]

    def note(parsed: dict[str, Any], **_: object) -> None:
        consumed = parsed["ConsumedCapacity"]
        told[0] += sum(one["CapacityUnits"] for one in (consumed if isinstance(consumed, list) else [consumed]))

    client.meta.events.register("after-call.dynamodb", note)
    for item_id in ("a", "missing"):
        await client.get_item(
            TableName=table, Key=_key(item_id), ConsistentRead=bool(consistent), ReturnConsumedCapacity="TOTAL"
        )
    await client.batch_get_item(
        RequestItems={table: {"Keys": [_key("a"), _key("b")], "ConsistentRead": bool(consistent)}},
        ReturnConsumedCapacity="TOTAL",
    )
    await client.query(
        TableName=table,
        KeyConditionExpression="PK = :pk",
        ExpressionAttributeValues={":pk": {"S": "partition"}},
        ConsistentRead=bool(consistent),
        ReturnConsumedCapacity="TOTAL",
    )
    units = meter.usage.units
    assert units
    assert units.read == told[0]


async def test_calls_alone_come_without_units(ministack_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", ministack_endpoint)
    async with open_store(create_table(ministack_endpoint)) as store:
        meter = Meter(store.client, units=False)
        await store.read_account(factories.counter_key().account_id)
        assert meter.usage == Usage({"GetItem": 1}, None)
