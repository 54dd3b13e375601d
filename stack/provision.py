"""Make everything in an emulator that Terraform makes in AWS: table, dead-letter queue, Lambda and its event source.

All of it can be repeated: what is there stays, and the Lambda gets the code and the settings of this checkout.
"""

from __future__ import annotations

import json
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple, TypedDict, cast

from botocore.exceptions import WaiterError

from counters import keys
from stack import aws, package
from stack.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_lambda.literals import RuntimeType
    from mypy_boto3_lambda.type_defs import (
        DestinationConfigTypeDef,
        EnvironmentTypeDef,
        FilterCriteriaTypeDef,
        GetFunctionResponseTypeDef,
        WaiterConfigTypeDef,
    )
    from mypy_boto3_lambda.waiter import FunctionActiveV2Waiter, FunctionUpdatedV2Waiter
    from mypy_boto3_sqs.literals import QueueAttributeNameType

_WAIT: Final[WaiterConfigTypeDef] = {"Delay": 1, "MaxAttempts": 60}

# Emulators want the address of a role, and never ask it anything.
_ROLE: Final = "arn:aws:iam::000000000000:role/settle"
# A counter costs one write a batch, so a batch is as large as what DynamoDB hands out at once.
_BATCH_RECORDS_MAX: Final = 1_000
# A stream keeps records for 24 hours: those given up can still be read for an hour after the queue has word of them.
_RECORD_AGE_S_MAX: Final = 23 * 3_600
# The longest there is: a human has to look.
_MESSAGE_RETENTION_S: Final = 14 * 24 * 3_600


class Provisioned(NamedTuple):
    """What an emulator has now.

    Attributes:
        table: Name of the table.
        function: Name of the Lambda.
        dead_letter_queue_url: Address of the queue of records that could not be settled.
    """

    table: str
    function: str
    dead_letter_queue_url: str


class _FunctionSettings(TypedDict):
    Runtime: RuntimeType
    Handler: str
    Role: str
    MemorySize: int
    Timeout: int
    Environment: EnvironmentTypeDef


class _MappingSettings(TypedDict):
    BatchSize: int
    ParallelizationFactor: int
    FilterCriteria: FilterCriteriaTypeDef
    BisectBatchOnFunctionError: bool
    MaximumRetryAttempts: int
    MaximumRecordAgeInSeconds: int
    DestinationConfig: DestinationConfigTypeDef


def create_table(endpoint: str, name: str | None = None) -> str:
    """Make a table without the rest, as tests of a store need it.

    Args:
        endpoint: Address of anything that speaks DynamoDB.
        name: Name of the table; a random one by default.

    Returns:
        The name.
    """
    table = name or f"distributed-counter-{uuid.uuid4().hex}"
    _create_table(aws.dynamodb_client(endpoint), table)
    return table


def provision(endpoint: str, table: str, say: Callable[[str], None] = print) -> Provisioned:
    """Make all that the system needs; the names of queue and Lambda follow from the table's.

    Args:
        endpoint: Address of an emulator with DynamoDB, SQS and Lambda.
        table: Name of the table.
        say: Is told what is worth knowing on the way.

    Raises:
        StackError: The emulator cannot run the Lambda, or the table was not made by this program.
    """
    stream_arn = _provision_table(endpoint, table)
    queue_url, queue_arn = _provision_queue(endpoint, f"{table}-dead-letters")
    function = f"{table}-settle"
    functions = aws.lambda_client(endpoint)
    variables = {
        "TABLE_NAME": table,
        "DEAD_LETTER_QUEUE_URL": queue_url,
        # Emulators have no tumbling windows, and without one nobody names the shard.
        "REQUIRE_SHARD_ID": "false",
    }
    _provision_function(functions, function, variables, say)
    _provision_mapping(functions, function, stream_arn, queue_arn)
    return Provisioned(table, function, queue_url)


def _provision_table(endpoint: str, table: str) -> str:
    """Return the ARN of the table's stream."""
    dynamodb = aws.dynamodb_client(endpoint)
    _create_table(dynamodb, table)
    _enable_ttl(dynamodb, table)
    dynamodb.update_continuous_backups(
        TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    stream_arn = dynamodb.describe_table(TableName=table)["Table"].get("LatestStreamArn")
    if not stream_arn:
        raise StackError(f"The table {table} has no stream: delete it, or choose another with TABLE_NAME=...")
    return stream_arn


def _create_table(dynamodb: DynamoDBClient, table: str) -> None:
    """Make the table if it is not there, and return when it can be used."""
    # It may also be under way: the SDK repeats a call that takes too long, and somebody else may be faster.
    with suppress(dynamodb.exceptions.ResourceInUseException):
        dynamodb.create_table(
            TableName=table,
            AttributeDefinitions=[
                {"AttributeName": keys.PK, "AttributeType": "S"},
                {"AttributeName": keys.SK, "AttributeType": "S"},
            ],
            KeySchema=[
                {"AttributeName": keys.PK, "KeyType": "HASH"},
                {"AttributeName": keys.SK, "KeyType": "RANGE"},
            ],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
    dynamodb.get_waiter("table_exists").wait(TableName=table, WaiterConfig=_WAIT)


def _enable_ttl(dynamodb: DynamoDBClient, table: str) -> None:
    # Enabling it once more is an error.
    state = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    if state.get("TimeToLiveStatus") not in {"ENABLED", "ENABLING"}:
        dynamodb.update_time_to_live(
            TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": keys.EXPIRES_AT}
        )


def _provision_queue(endpoint: str, name: str) -> tuple[str, str]:
    """Return the queue's address and its ARN."""
    sqs = aws.sqs_client(endpoint)
    settings: dict[QueueAttributeNameType, str] = {
        "MessageRetentionPeriod": str(_MESSAGE_RETENTION_S),
        "SqsManagedSseEnabled": "true",
    }
    url = sqs.create_queue(QueueName=name, Attributes=settings)["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    return url, attributes["QueueArn"]


def _provision_function(
    functions: LambdaClient, name: str, variables: dict[str, str], say: Callable[[str], None]
) -> None:
    code = package.build().read_bytes()
    settings: _FunctionSettings = {
        "Runtime": "python3.13",
        "Handler": "stream_lambda.handler.handle",
        "Role": _ROLE,
        "MemorySize": 1769,
        "Timeout": 60,
        # Emulators add an AWS_ENDPOINT_URL that can be reached from where they run the function.
        "Environment": {"Variables": variables},
    }
    try:
        functions.create_function(FunctionName=name, Code={"ZipFile": code}, **settings)
    except functions.exceptions.ResourceConflictException:
        failure = _update_function(functions, name, code, settings)
        if failure is not None:
            # From there it can only be deleted.
            say(f"The Lambda {name} had failed ({failure}): making it anew ...")
            # LocalStack deletes it and answers with a server error, so that the SDK tries once more.
            with suppress(functions.exceptions.ResourceNotFoundException):
                functions.delete_function(FunctionName=name)
            functions.create_function(FunctionName=name, Code={"ZipFile": code}, **settings)
    failure = _wait(functions.get_waiter("function_active_v2"), name)
    if failure is not None:
        raise StackError(f"The emulator cannot run the Lambda {name}: {failure}")


def _update_function(functions: LambdaClient, name: str, code: bytes, settings: _FunctionSettings) -> str | None:
    """Return why a function failed, before or by this; None: it has the new code and settings."""
    failure = _wait(functions.get_waiter("function_active_v2"), name)
    if failure is not None:
        return failure
    functions.update_function_configuration(FunctionName=name, **settings)
    failure = _wait(functions.get_waiter("function_updated_v2"), name)
    if failure is not None:
        return failure
    functions.update_function_code(FunctionName=name, ZipFile=code)
    return _wait(functions.get_waiter("function_updated_v2"), name)


def _wait(waiter: FunctionActiveV2Waiter | FunctionUpdatedV2Waiter, name: str) -> str | None:
    """Wait for a function, and return why it failed; None: it did not.

    Raises:
        WaiterError: It is still on its way.
    """
    try:
        waiter.wait(FunctionName=name, WaiterConfig=_WAIT)
    except WaiterError as exc:
        found = cast("GetFunctionResponseTypeDef", exc.last_response).get("Configuration", {})
        if "Failed" not in {found.get("State"), found.get("LastUpdateStatus")}:
            raise
        return found.get("StateReason") or found.get("LastUpdateStatusReason") or "The emulator gives no reason."
    return None


def _provision_mapping(functions: LambdaClient, function: str, stream_arn: str, queue_arn: str) -> None:
    pattern = {"dynamodb": {"Keys": {keys.PK: {"S": [{"prefix": keys.ENTRIES_PREFIX}]}}}}
    settings: _MappingSettings = {
        "BatchSize": _BATCH_RECORDS_MAX,
        "ParallelizationFactor": 1,
        "FilterCriteria": {"Filters": [{"Pattern": json.dumps(pattern)}]},
        # A batch that fails is tried again until it is too old: a record that is dropped is a count that is wrong.
        "BisectBatchOnFunctionError": True,
        "MaximumRetryAttempts": -1,
        "MaximumRecordAgeInSeconds": _RECORD_AGE_S_MAX,
        "DestinationConfig": {"OnFailure": {"Destination": queue_arn}},
    }
    found = functions.list_event_source_mappings(FunctionName=function, EventSourceArn=stream_arn)
    if found["EventSourceMappings"]:
        mapping = found["EventSourceMappings"][0]
        # LocalStack reads the whole stream again after an update. That does no harm, but takes its time.
        if not settings.items() <= mapping.items():
            functions.update_event_source_mapping(UUID=mapping["UUID"], **settings)
    else:
        functions.create_event_source_mapping(
            FunctionName=function, EventSourceArn=stream_arn, StartingPosition="TRIM_HORIZON", **settings
        )
