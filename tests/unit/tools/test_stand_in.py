"""The stand-in for DynamoDB: it counts as the table would, as far as a load that creates goes."""

import json

from stack.harness.stand_in import StandInTable

KEY = {"PK": {"S": "COUNTER#a"}, "SK": {"S": "COUNTER"}}


def answer_of(table: StandInTable, operation: str, **call: object) -> object:
    """Return the body of the answer to a call."""
    head, _, body = table.answer(operation, json.dumps(call).encode()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert f"Content-Length: {len(body)}".encode() in head
    return json.loads(body)


def test_a_flush_adds_to_what_was_put() -> None:
    table = StandInTable()
    counter = {**KEY, "best_effort": {"N": "3"}, "revision": {"N": "7"}}
    answer_of(table, "TransactWriteItems", TransactItems=[{"Put": {"Item": counter}}])
    answer = answer_of(table, "UpdateItem", Key=KEY, ExpressionAttributeValues={":delta": {"N": "25"}})
    counted = {**KEY, "best_effort": {"N": "28"}, "revision": {"N": "8"}}
    assert answer == {"Attributes": counted}
    assert answer_of(table, "GetItem", Key=KEY) == {"Item": counted}
    both = {"t": {"Keys": [KEY, {**KEY, "SK": {"S": "none"}}]}}
    assert answer_of(table, "BatchGetItem", RequestItems=both) == {"Responses": {"t": [counted]}}


def test_what_is_not_there_is_not_found() -> None:
    assert answer_of(StandInTable(), "GetItem", Key=KEY) == {}


def test_every_page_is_taken() -> None:
    assert answer_of(StandInTable(), "PutItem", Item=KEY) == {}
    assert answer_of(StandInTable(), "BatchExecuteStatement", Statements=[{}, {}]) == {"Responses": [{}, {}]}


def test_other_calls_are_refused() -> None:
    assert StandInTable().answer("Scan", b"{}").startswith(b"HTTP/1.1 400 ")
