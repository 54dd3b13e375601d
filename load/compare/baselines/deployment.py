"""Tables of the baselines, and the Lambda of the one that has one."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from counters import keys
from stack import aws
from stack.package import build
from stack.provision import create_table

if TYPE_CHECKING:
    from mypy_boto3_lambda.type_defs import WaiterConfigTypeDef

STREAM_FED: Final = "eventual-only"

_MODULE: Final = "load.compare.baselines.stream_counter"
_WAIT: Final[WaiterConfigTypeDef] = {"Delay": 1, "MaxAttempts": 60}
_BATCH_RECORDS_MAX: Final = 1_000


def deploy(endpoint: str, baseline: str, table: str) -> None:
    """Make what a baseline needs in an emulator that has nothing of it yet."""
    create_table(endpoint, table)
    if baseline != STREAM_FED:
        return
    stream = aws.dynamodb_client(endpoint).describe_table(TableName=table)["Table"]["LatestStreamArn"]
    functions = aws.lambda_client(endpoint)
    function = f"{table}-count"
    with tempfile.TemporaryDirectory() as folder:
        code = build(Path(folder) / "count.zip", _MODULE).read_bytes()
    functions.create_function(
        FunctionName=function,
        Code={"ZipFile": code},
        Runtime="python3.13",
        Handler=f"{_MODULE}.handle",
        Role="arn:aws:iam::000000000000:role/count",
        # As the service's own Lambda, as is the mapping's batch.
        MemorySize=256,
        Timeout=60,
        Environment={"Variables": {"TABLE_NAME": table}},
    )
    functions.get_waiter("function_active_v2").wait(FunctionName=function, WaiterConfig=_WAIT)
    entries = {
        "eventName": ["INSERT", "REMOVE"],
        "dynamodb": {"Keys": {keys.PK: {"S": [{"prefix": keys.ENTRIES_PREFIX}]}}},
    }
    functions.create_event_source_mapping(
        FunctionName=function,
        EventSourceArn=stream,
        StartingPosition="TRIM_HORIZON",
        BatchSize=_BATCH_RECORDS_MAX,
        FilterCriteria={"Filters": [{"Pattern": json.dumps(entries)}]},
    )
