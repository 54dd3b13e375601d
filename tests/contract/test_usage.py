"""The meter's units: of writes as MiniStack says, of reads as DynamoDB Local would (each is wrong about the other)."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from counters.stores.dynamodb import DynamoClient, open_client
from counters.stores.dynamodb.answers import AnswerError, ConditionFailedError
from stack.harness.usage import Meter, Units, Usage
from stack.provision import create_table


class Metered:
    """A client with a meter, a table for it, and the units that the database told."""

    def __init__(self, client: DynamoClient, table: str) -> None:
        self._client = client
        self.meter = Meter(self._note, units=True)
        self.client = DynamoClient(self.meter.send)
        self.table = table
        self.told = 0.0

    async def _note(self, *, action: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        answer = await self._client.send(action=action, payload={**payload, "ReturnConsumedCapacity": "TOTAL"})
        consumed = answer["ConsumedCapacity"]
        self.told += sum(one["CapacityUnits"] for one in (consumed if isinstance(consumed, list) else [consumed]))
        return answer

    async def put(self, item_id: str, size: int = 1, **options: Any) -> None:  # noqa: ANN401 - the SDK's own
        """Put an item of about this size."""
        item = {**_key(item_id), "name": {"S": "x" * size}, "amount": {"N": "-12"}, "marks": {"M": {"s": {"N": "1"}}}}
        await self.client.put_item(TableName=self.table, Item=item, **options)


def _key(item_id: str) -> dict[str, Any]:
    return {"PK": {"S": "partition"}, "SK": {"S": item_id}}


@pytest.fixture
async def on_ministack(ministack_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Metered]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", ministack_endpoint)
    async with open_client() as client:
        yield Metered(client, create_table(ministack_endpoint))


@pytest.fixture
async def on_dynamodb_local(dynamodb_local_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Metered]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", dynamodb_local_endpoint)
    async with open_client() as client:
        yield Metered(client, create_table(dynamodb_local_endpoint))


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
    assert await price(on_ministack.put("a")) == 1
    assert await price(on_ministack.put("a", size=1500)) == 2
    assert await price(client.transact_write_items(TransactItems=[put, update])) == 4  # type: ignore[list-item]


async def test_a_refused_write_is_billed(on_ministack: Metered) -> None:
    client, table = on_ministack.client, on_ministack.table
    absent = "attribute_not_exists(PK)"
    await on_ministack.put("a")
    before = on_ministack.meter.usage
    with pytest.raises(ConditionFailedError):
        await on_ministack.put("a", ConditionExpression=absent)
    with pytest.raises(AnswerError, match="TransactionCanceledException"):
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
    on_dynamodb_local.told = 0.0
    for item_id in ("a", "missing"):
        await client.get_item(TableName=table, Key=_key(item_id), ConsistentRead=bool(consistent))
    await client.batch_get_item(
        RequestItems={table: {"Keys": [_key("a"), _key("b")], "ConsistentRead": bool(consistent)}},
    )
    await client.query(
        TableName=table,
        KeyConditionExpression="PK = :pk",
        ExpressionAttributeValues={":pk": {"S": "partition"}},
        ConsistentRead=bool(consistent),
    )
    units = meter.usage.units
    assert units
    assert units.read == on_dynamodb_local.told
