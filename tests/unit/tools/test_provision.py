"""Provisioning gets along with an emulator that is slow, or whose function failed. The emulator is a stub."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from botocore.stub import ANY, Stubber

from stack import aws, provision
from stack.errors import StackError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient

NOBODY = "http://127.0.0.1:9"
NAMED = {"FunctionName": "settle"}
STREAM_ARN = "arn:aws:dynamodb:us-east-1:000000000000:table/counters/stream/2026-11-26T00:00:00.000"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let waiters ask again at once."""
    monkeypatch.setattr(provision, "_WAIT", {"Delay": 0, "MaxAttempts": 3})


@pytest.fixture
def dynamodb() -> "Iterator[DynamoDBClient]":
    """Yield a client whose answers a stub gives."""
    client = aws.dynamodb_client(NOBODY)
    yield client
    client.close()


@pytest.fixture
def functions() -> "Iterator[LambdaClient]":
    """Yield a client whose answers a stub gives."""
    client = aws.lambda_client(NOBODY)
    yield client
    client.close()


def function(state: str = "Active", update: str = "Successful", reason: str | None = None) -> dict[str, Any]:
    """Return the answer to a question for a function."""
    found = {"FunctionName": "settle", "State": state, "LastUpdateStatus": update}
    return {"Configuration": {**found, "StateReason": reason} if reason else found}


def test_a_table_that_is_still_being_made_is_waited_for(dynamodb: "DynamoDBClient") -> None:
    """The SDK sends a CreateTable that takes long once more, and that meets the first one's table."""
    with Stubber(dynamodb) as stub:
        stub.add_client_error("create_table", "ResourceInUseException")
        stub.add_client_error("describe_table", "ResourceNotFoundException")
        stub.add_response("describe_table", {"Table": {"TableStatus": "CREATING"}})
        stub.add_response("describe_table", {"Table": {"TableStatus": "ACTIVE"}})

        provision._create_table(dynamodb, "counters")

        stub.assert_no_pending_responses()


@pytest.mark.parametrize(("table", "expected"), [({"LatestStreamArn": STREAM_ARN}, STREAM_ARN), ({}, None)])
def test_a_table_without_a_stream_is_told(
    dynamodb: "DynamoDBClient", monkeypatch: pytest.MonkeyPatch, table: dict[str, str], expected: str | None
) -> None:
    monkeypatch.setattr(aws, "dynamodb_client", lambda _: dynamodb)
    with Stubber(dynamodb) as stub:
        stub.add_client_error("create_table", "ResourceInUseException")
        stub.add_response("describe_table", {"Table": {"TableStatus": "ACTIVE"}})
        stub.add_response("describe_time_to_live", {"TimeToLiveDescription": {"TimeToLiveStatus": "ENABLED"}})
        stub.add_response("update_continuous_backups", {})
        stub.add_response("describe_table", {"Table": table})
        if expected is None:
            with pytest.raises(StackError, match="The table counters has no stream"):
                provision._provision_table(NOBODY, "counters")
        else:
            assert provision._provision_table(NOBODY, "counters") == expected


def test_a_function_that_is_there_gets_the_settings_and_the_code(functions: "LambdaClient") -> None:
    said: list[str] = []
    with Stubber(functions) as stub:
        stub.add_client_error("create_function", "ResourceConflictException")
        stub.add_response("get_function", function("Pending"))
        stub.add_response("get_function", function())
        stub.add_response("update_function_configuration", {})
        stub.add_response("get_function", function(update="InProgress"))
        stub.add_response("get_function", function())
        stub.add_response("update_function_code", {})
        stub.add_response("get_function", function())
        stub.add_response("get_function", function())

        provision._provision_function(functions, "settle", {}, said.append)

        stub.assert_no_pending_responses()
    assert said == []


@pytest.mark.parametrize("deleted", [True, False], ids=["deletes", "lost the answer"])
@pytest.mark.parametrize(
    "answers",
    [
        [("get_function", function("Failed", reason="No runtime."))],
        [
            ("get_function", function()),
            ("update_function_configuration", {}),
            ("get_function", function("Failed", "Failed", "No runtime.")),
        ],
        [
            ("get_function", function()),
            ("update_function_configuration", {}),
            ("get_function", function()),
            ("update_function_code", {}),
            ("get_function", function("Failed", "Failed", "No runtime.")),
        ],
    ],
    ids=["before", "by its settings", "by its code"],
)
def test_a_function_that_failed_is_made_anew_and_its_reason_told(
    functions: "LambdaClient",
    answers: list[tuple[str, dict[str, Any]]],
    deleted: bool,  # noqa: FBT001  # a case
) -> None:
    """From ``Failed`` it cannot be updated; LocalStack answers 500 to its deletion, and then 404."""
    said: list[str] = []
    with Stubber(functions) as stub:
        stub.add_client_error("create_function", "ResourceConflictException")
        for method, answer in answers:
            stub.add_response(method, answer)
        if deleted:
            stub.add_response("delete_function", {}, NAMED)
        else:
            stub.add_client_error("delete_function", "ResourceNotFoundException")
        stub.add_response("create_function", {}, {**NAMED, **dict.fromkeys(_CREATED, ANY)})
        stub.add_response("get_function", function(), NAMED)

        provision._provision_function(functions, "settle", {}, said.append)

        stub.assert_no_pending_responses()
    assert said == ["The Lambda settle had failed (No runtime.): making it anew ..."]


_CREATED = ("Code", "Runtime", "Handler", "Role", "MemorySize", "Timeout", "Environment")


def test_a_function_that_cannot_start_is_an_error_with_its_reason(functions: "LambdaClient") -> None:
    with Stubber(functions) as stub:
        stub.add_response("create_function", {})
        stub.add_response("get_function", function("Pending"))
        stub.add_response("get_function", function("Failed", reason="No runtime."))
        with pytest.raises(StackError, match=r"The emulator cannot run the Lambda settle: No runtime\."):
            provision._provision_function(functions, "settle", {}, print)


def test_a_mapping_that_is_right_is_left_alone(functions: "LambdaClient") -> None:
    """An update makes LocalStack read the whole stream again."""
    made: list[dict[str, Any]] = []
    functions.meta.events.register(
        "provide-client-params.lambda.CreateEventSourceMapping", lambda params, **_: made.append(params)
    )
    with Stubber(functions) as stub:
        stub.add_response("list_event_source_mappings", {"EventSourceMappings": []})
        stub.add_response("create_event_source_mapping", {})
        provision._provision_mapping(functions, "settle", STREAM_ARN, "arn:queue")
        settings = {name: value for name, value in made[0].items() if name not in {"FunctionName", "StartingPosition"}}

        stub.add_response("list_event_source_mappings", {"EventSourceMappings": [{"UUID": "m", **settings}]})
        provision._provision_mapping(functions, "settle", STREAM_ARN, "arn:queue")

        stub.add_response("list_event_source_mappings", {"EventSourceMappings": [{"UUID": "m", "BatchSize": 1}]})
        stub.add_response("update_event_source_mapping", {})
        provision._provision_mapping(functions, "settle", STREAM_ARN, "arn:queue")

        stub.assert_no_pending_responses()
