"""The Lambda of the eventual-only baseline, over DynamoDB in process."""

import importlib
import sys
from typing import Any

import boto3
import pytest
from moto import mock_aws

from load.compare.baselines import layout
from stack.provision import create_table

MOTO = "https://dynamodb.us-east-1.amazonaws.com"
"""The address whose calls moto answers within this process."""


def record(name: str, account_id: str, entry_id: str) -> dict[str, Any]:
    """Return a stream record of an entry."""
    return {"eventName": name, "dynamodb": {"Keys": layout.entry_key(account_id, entry_id)}}


def test_a_batch_is_summed_by_account(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = [
        *(record("INSERT", "ada", str(number)) for number in range(5)),
        record("REMOVE", "ada", "0"),
        record("INSERT", "bob", "0"),
    ]
    with mock_aws():
        monkeypatch.setenv("TABLE_NAME", table := create_table(MOTO))
        monkeypatch.delitem(sys.modules, "load.compare.baselines.stream_counter", raising=False)
        dynamodb = boto3.client("dynamodb")
        importlib.import_module("load.compare.baselines.stream_counter").handle({"Records": batch}, None)
        counters = [
            dynamodb.get_item(TableName=table, Key=layout.counter_key(account_id))["Item"]
            for account_id in ("ada", "bob")
        ]
        dynamodb.close()
    assert [layout.count_of(counter) for counter in counters] == [4, 1]
