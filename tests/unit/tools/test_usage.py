"""What the meter counts without a database."""

from collections.abc import Mapping
from random import Random
from typing import Any

import pytest

from counters.stores.dynamodb import DynamoClient
from counters.stores.dynamodb.answers import AnswerError, ConditionFailedError
from load.compare.baselines.retries import repeated
from stack.harness.usage import Meter, Units, Usage
from tests.support.virtual_time import in_virtual_time

KEY: dict[str, Any] = {"PK": {"S": "a"}, "SK": {"S": "b"}}


class Answers:
    """Sends nothing: answers each call with the next of these."""

    def __init__(self, *answers: dict[str, Any] | Exception) -> None:
        self._answers = list(answers)
        self.payloads: list[Mapping[str, Any]] = []

    async def send(self, *, action: str, payload: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - as every ``Send``
        """See ``Send``."""
        self.payloads.append(payload)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def cancelled(*codes: str) -> AnswerError:
    return AnswerError(400, "TransactionCanceledException", {"CancellationReasons": [{"Code": code} for code in codes]})


async def test_calls_alone_come_without_units_and_as_they_were_made() -> None:
    answers = Answers({})
    meter = Meter(answers.send, units=False)
    request: dict[str, Any] = {"TableName": "table", "Item": KEY}
    await DynamoClient(meter.send).put_item(**request)
    assert meter.usage == Usage({"PutItem": 1}, None)
    assert answers.payloads == [request]


@in_virtual_time
async def test_every_try_counts_and_one_that_was_throttled_is_not_billed() -> None:
    throttled = AnswerError(400, "ThrottlingException", {})
    meter = Meter(Answers(throttled, throttled, {"ConsumedCapacity": {"CapacityUnits": 1.0}}).send, units=True)
    client = DynamoClient(repeated(meter.send, Random(0)))
    await client.put_item(TableName="table", Item=KEY)
    assert meter.usage == Usage({"PutItem": 3}, Units(write=1.0, read=0.0))


@pytest.mark.parametrize(
    ("error", "units"),
    [
        (ConditionFailedError(400, "ConditionalCheckFailedException", {}), 1.0),
        (cancelled("ConditionalCheckFailed", "None"), 1.0),
        (cancelled("ConditionalCheckFailed", "ConditionalCheckFailed"), 2.0),
        (cancelled("TransactionConflict", "None"), 0.0),
        (AnswerError(500, "InternalServerError", {}), 0.0),
        (TimeoutError(), 0.0),
    ],
)
async def test_a_write_that_was_not_carried_out_is_billed_for_its_conditions(error: Exception, units: float) -> None:
    meter = Meter(Answers(error).send, units=True)
    with pytest.raises(type(error)):
        await DynamoClient(meter.send).transact_write_items(TransactItems=[])
    assert meter.usage == Usage({"TransactWriteItems": 1}, Units(write=units, read=0.0))


async def test_a_batch_of_inserts_is_billed_for_what_was_stored_and_for_keys_that_were_taken() -> None:
    codes = ["DuplicateItem", "ThrottlingError", "DuplicateItem"]
    responses: list[dict[str, Any]] = [{}, *({"Error": {"Code": code}} for code in codes)]
    meter = Meter(Answers({"Responses": responses}).send, units=True)
    await DynamoClient(meter.send).batch_execute_statement(Statements=[])
    assert meter.usage == Usage({"BatchExecuteStatement": 1}, Units(write=3.0, read=0.0))


async def test_a_read_that_failed_is_not_billed() -> None:
    meter = Meter(Answers(AnswerError(500, "InternalServerError", {})).send, units=True)
    with pytest.raises(AnswerError):
        await DynamoClient(meter.send).get_item(TableName="table", Key=KEY)
    assert meter.usage == Usage({"GetItem": 1}, Units(write=0.0, read=0.0))
