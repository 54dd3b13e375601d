"""boto3 clients for an emulator, with credentials that no real account has: nothing here may ever reach AWS."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import boto3
import botocore.session
from botocore.config import Config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_sqs import SQSClient

ACCESS_KEY_ID: Final = "test"
SECRET_ACCESS_KEY: Final = "test"  # noqa: S105  # emulators accept anything

# An emulator that has just started takes its time for the first call of each service: LocalStack, more than 10 s.
_CONFIG: Final = Config(
    connect_timeout=2,
    read_timeout=60,
    retries={"total_max_attempts": 2, "mode": "legacy"},
    # An emulator is at hand: no proxy leads to it, and botocore finds no IPv6 address in NO_PROXY.
    proxies={},
)
_IMPATIENT: Final = _CONFIG.merge(Config(read_timeout=5))
"""For who asks every second."""


def region() -> str:
    """Return the region to use: the user's own choice, or else one that every emulator knows."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"


def environment(endpoint: str, region_name: str | None = None) -> dict[str, str]:
    """Return the variables that make any AWS client of a child process talk to an emulator."""
    region_name = region_name or region()
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": region_name,
        "AWS_DEFAULT_REGION": region_name,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
    }


def without_aws(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return an environment, our own by default, less everything that would lead an AWS client somewhere."""
    return {
        **{name: value for name, value in environment.items() if not name.startswith("AWS_")},
        # The user's own are about real accounts, and a fault in them would stop every client.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def dynamodb_client(endpoint: str, *, impatient: bool = False) -> DynamoDBClient:
    """Return a client for tables; an impatient one waits for 5 s and not for 60 s."""
    return _session().client("dynamodb", endpoint_url=endpoint, config=_IMPATIENT if impatient else _CONFIG)


def streams_client(endpoint: str) -> DynamoDBStreamsClient:
    """Return a client for what happened to tables."""
    return _session().client("dynamodbstreams", endpoint_url=endpoint, config=_CONFIG)


def lambda_client(endpoint: str) -> LambdaClient:
    """Return a client for functions and event source mappings."""
    return _session().client("lambda", endpoint_url=endpoint, config=_CONFIG)


def logs_client(endpoint: str) -> CloudWatchLogsClient:
    """Return a client for what functions print; it waits for 5 s."""
    return _session().client("logs", endpoint_url=endpoint, config=_IMPATIENT)


def sqs_client(endpoint: str) -> SQSClient:
    """Return a client for queues."""
    return _session().client("sqs", endpoint_url=endpoint, config=_CONFIG)


def _session() -> boto3.Session:
    # The user's profile and files are about real accounts: nothing in them, and no fault of them, matters here.
    ignored = {
        "profile": (None, None, None, None),
        "config_file": (None, None, os.devnull, None),
        "credentials_file": (None, None, os.devnull, None),
    }
    return boto3.Session(
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET_ACCESS_KEY,
        region_name=region(),
        botocore_session=botocore.session.Session(session_vars=ignored),
    )
