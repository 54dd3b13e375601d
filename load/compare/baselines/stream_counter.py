"""The Lambda of the eventual-only baseline, as tutorials have it: sum a batch by account, then ADD to each counter.

A batch that is delivered twice is counted twice: nothing here knows.
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import boto3

from counters import keys
from load.compare.baselines import layout

_SIGNS: Final = {"INSERT": 1, "REMOVE": -1}

_dynamodb: Final = boto3.client("dynamodb")


def handle(event: Mapping[str, Sequence[Mapping[str, Any]]], _context: object) -> None:
    """Count a batch of stream records; what is no entry was filtered out before."""
    deltas: Counter[str] = Counter()
    for record in event["Records"]:
        counter = keys.parse_entries_pk(record["dynamodb"]["Keys"][keys.PK]["S"])
        if counter is not None:
            deltas[counter.account_id] += _SIGNS[record["eventName"]]
    for account_id, delta in deltas.items():
        _dynamodb.update_item(**layout.addition(os.environ["TABLE_NAME"], account_id, delta))
