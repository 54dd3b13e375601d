"""The AWS clients: endpoint, region and credentials come from the environment, as botocore reads it."""

from typing import TYPE_CHECKING, Final

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

_CONFIG: Final = Config(
    # The defaults of 60 s would outlive the function, and hide which call hangs.
    connect_timeout=2,
    read_timeout=5,
    # Safe because every call of this function may happen twice: see store.py and dead_letters.py.
    retries={"mode": "standard", "total_max_attempts": 4},
    # Each call has one fixed shape, and the services check what they get.
    parameter_validation=False,
    # The SDK puts its own together anew for each call, which takes a seventh of what a settlement costs.
    user_agent="distributed-counter",
)


def connect_dynamodb() -> "DynamoDBClient":
    """Return a DynamoDB client; threads may share it."""
    return boto3.client("dynamodb", config=_CONFIG)


def connect_sqs() -> "SQSClient":
    """Return an SQS client; threads may share it."""
    return boto3.client("sqs", config=_CONFIG)
