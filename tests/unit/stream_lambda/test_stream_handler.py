"""The entry point: cold start, then one batch after the other."""

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from counters import keys
from counters.stores.dynamodb.items import exact_item, key_item
from stack.paths import ROOT
from stack.provision import create_table
from tests.support import events, factories
from tests.support.events import KEY
from tests.support.process_logging import restored_logging

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

MOTO = "https://dynamodb.us-east-1.amazonaws.com"
"""The address whose calls moto answers within this process."""


@dataclass
class FakeContext:
    """What the runtime passes beside the event."""

    aws_request_id: str = "request-1"


@pytest.fixture
def dynamodb() -> "Iterator[DynamoDBClient]":
    with mock_aws():
        client = boto3.client("dynamodb")
        yield client
        client.close()


def test_batches_are_settled_and_the_windows_state_is_answered(
    dynamodb: "DynamoDBClient", monkeypatch: pytest.MonkeyPatch
) -> None:
    table = create_table(MOTO)
    dynamodb.put_item(TableName=table, Item=exact_item(factories.counter(KEY)))
    queue = boto3.client("sqs").create_queue(QueueName="dead-letters")["QueueUrl"]
    monkeypatch.setenv("TABLE_NAME", table)
    monkeypatch.setenv("DEAD_LETTER_QUEUE_URL", queue)
    monkeypatch.setenv("REQUIRE_SHARD_ID", "true")
    monkeypatch.delitem(sys.modules, "stream_lambda.handler", raising=False)

    with restored_logging():
        handler = importlib.import_module("stream_lambda.handler")
        names = ("aws_window", "aws_window", "aws_window_end")
        answers = [handler.handle(events.load(name), FakeContext()) for name in names]

    assert answers == [{"state": {}}] * 3
    item = dynamodb.get_item(TableName=table, Key=key_item(keys.exact_key(KEY)))["Item"]
    assert item[keys.EVENTUAL] == {"N": "4"}


def test_bad_configuration_stops_the_cold_start_with_one_line() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", "import stream_lambda.handler"],
        cwd=ROOT,
        env={"TABLE_NAME": "counters", "REQUIRE_SHARD_ID": "perhaps"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert answer.returncode == 1
    (line,) = (answer.stdout + answer.stderr).splitlines()
    logged = json.loads(line)
    assert (logged["level"], logged["event"]) == ("critical", "misconfigured")
    assert logged["reason"] == "DEAD_LETTER_QUEUE_URL is not set; REQUIRE_SHARD_ID must be true or false, not 'perhaps'"
