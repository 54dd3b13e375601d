"""The Lambda of the eventual-only baseline, as tutorials have it: sum a batch by account, then ADD to each counter.

A batch that is delivered twice is counted twice: nothing here knows.
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import boto3

from load.compare.baselines import layout

_SIGNS: Final = {"INSERT": 1, "REMOVE": -1}

_dynamodb: Final = boto3.client("dynamodb")


def handle(event: Mapping[str, Sequence[Mapping[str, Any]]], _context: object) -> None:
    """Count a batch of stream records; what is no entry was filtered out before."""
    deltas: Counter[str] = Counter()
    for record in event["Records"]:
        pk = record["dynamodb"]["Keys"][layout.PK]["S"]
        deltas[pk.removeprefix(layout.ENTRIES_PREFIX)] += _SIGNS[record["eventName"]]
    for account_id, delta in deltas.items():
        _dynamodb.update_item(
            TableName=os.environ["TABLE_NAME"],
            Key=layout.counter_key(account_id),
            UpdateExpression="ADD #count :delta",
            ExpressionAttributeNames={"#count": layout.COUNT},
            ExpressionAttributeValues={":delta": layout.number(delta)},
        )
