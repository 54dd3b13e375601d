"""What the contract suite cannot show of the Lambda's store: its failures, and the size of what it stores."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import boto3
import msgspec
import pytest
from botocore.config import Config
from botocore.stub import Stubber
from moto import mock_aws

from counters import keys
from counters.errors import OutcomeUnknownError, StoreError, StoreRejectedError
from counters.keys import SERVICES, CounterKey
from counters.model import Census
from counters.settlement import MARK_LIFETIME_MS, Censuses, Settlement
from counters.stores.dynamodb.items import exact_item, key_item
from stack.provision import create_table
from stream_lambda.store import Boto3SettlementStore
from tests.support import factories
from tests.support.factories import NOW_MS

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

MOTO = "https://dynamodb.us-east-1.amazonaws.com"
"""The address whose calls moto answers within this process."""
NOBODY = "http://127.0.0.1:1"
WRITE_UNIT_BYTES = 1024
KEY = factories.counter_key()
SETTLEMENT = Settlement("shard-1", first=1, last=2, delta=1, at_ms=NOW_MS)


@pytest.fixture
def client() -> "Iterator[DynamoDBClient]":
    """Yield a client that reaches nobody, and gives up at once."""
    client = boto3.client(
        "dynamodb",
        endpoint_url=NOBODY,
        config=Config(retries={"total_max_attempts": 1}),
    )
    yield client
    client.close()


@pytest.fixture
def counters() -> Iterator[str]:
    """Yield the name of a table in process."""
    with mock_aws():
        yield create_table(MOTO)


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("ProvisionedThroughputExceededException", 400, OutcomeUnknownError),
        ("ThrottlingException", 400, OutcomeUnknownError),
        ("Throttling", 400, OutcomeUnknownError),
        ("ProvisionedThroughputExceeded", 400, OutcomeUnknownError),
        ("TransactionConflictException", 400, OutcomeUnknownError),
        ("ExpiredTokenException", 400, OutcomeUnknownError),
        ("UnrecognizedClientException", 400, OutcomeUnknownError),
        ("InvalidSignatureException", 400, OutcomeUnknownError),
        ("RequestTimeTooSkewed", 403, OutcomeUnknownError),
        ("RequestTimeout", 400, OutcomeUnknownError),
        ("408", 408, OutcomeUnknownError),
        ("429", 429, OutcomeUnknownError),
        ("InternalServerError", 500, OutcomeUnknownError),
        ("ServiceUnavailable", 503, OutcomeUnknownError),
        ("ValidationException", 400, StoreRejectedError),
        ("AccessDeniedException", 400, StoreRejectedError),
        ("ResourceNotFoundException", 400, StoreRejectedError),
    ],
)
async def test_failure_is_named_by_what_it_proves(
    client: "DynamoDBClient", code: str, status: int, error: type[StoreError]
) -> None:
    store = Boto3SettlementStore(client, "counters")
    with Stubber(client) as stubber:
        stubber.add_client_error("update_item", code, http_status_code=status)
        if code == "ValidationException":
            # It looks whether the counter is damaged.
            stubber.add_response("get_item", {})
        stubber.add_client_error("update_item", code, http_status_code=status)
        with pytest.raises(error):
            await store.settle(KEY, SETTLEMENT)
        with pytest.raises(error):
            await store.prune_marks(KEY, ["shard-1"], NOW_MS)


async def test_failure_by_throttling_has_the_reasons_that_dynamodb_gives(client: "DynamoDBClient") -> None:
    reason = {"reason": "TableWriteKeyRangeThroughputExceeded", "resource": "arn:aws:dynamodb:::table/counters"}
    store = Boto3SettlementStore(client, "counters")
    with Stubber(client) as stubber:
        stubber.add_client_error(
            "update_item",
            "ProvisionedThroughputExceededException",
            http_status_code=400,
            modeled_fields={"ThrottlingReasons": [reason]},
        )
        with pytest.raises(OutcomeUnknownError) as failure:
            await store.settle(KEY, SETTLEMENT)
    assert failure.value.throttled_by == (reason["reason"],)


async def test_server_that_cannot_be_reached_leaves_the_outcome_unknown(client: "DynamoDBClient") -> None:
    store = Boto3SettlementStore(client, "counters")
    with pytest.raises(OutcomeUnknownError):
        await store.settle(KEY, SETTLEMENT)
    with pytest.raises(OutcomeUnknownError):
        await store.prune_marks(KEY, ["shard-1"], NOW_MS)


async def test_settling_a_counter_with_all_the_marks_that_it_has_at_a_time_costs_one_write_unit(counters: str) -> None:
    """A ledger of one slot lies in one shard at a time, which lives about four hours; one more waits to be pruned."""
    marks = MARK_LIFETIME_MS // (4 * 60 * 60 * 1000) + 2
    key = CounterKey("01890a5d-ac96-774b-bcce-b302099a8057", SERVICES)
    client = boto3.client("dynamodb")
    census = Census(line=10**9, seen_at_ms=NOW_MS, asked_at_ms=NOW_MS, pages=10**5, total=10**6, answers=10**4)
    counter = msgspec.structs.replace(
        factories.counter(key), census=census, last_census=10**9 - 1, last_census_at_ms=NOW_MS
    )
    client.put_item(TableName=counters, Item=exact_item(counter))
    store = Boto3SettlementStore(client, counters)

    for index in range(marks):
        sequence = 4421584500000000017450439091 + index
        shard = f"17899990000{index:02}-f55eea83"
        censuses = Censuses(census.line, counter.last_census)
        await store.settle(key, Settlement(shard, sequence, sequence, 10**5, NOW_MS, censuses))

    stored = client.get_item(TableName=counters, Key=key_item(keys.exact_key(key)))["Item"]
    client.close()
    assert len(stored[keys.MARKS]["M"]) == marks
    assert sum(len(name) + _size_bytes(value) for name, value in stored.items()) <= WRITE_UNIT_BYTES


def _size_bytes(value: "AttributeValueTypeDef") -> int:
    """Return an attribute value's size by the rules that DynamoDB publishes."""
    if "S" in value:
        return len(value["S"].encode())
    if "N" in value:
        return (len(value["N"]) + 1) // 2 + 1
    return 3 + sum(len(name) + 1 + _size_bytes(member) for name, member in value["M"].items())
