"""Calls as an application makes them: from end to end by the AWS SDK, with the settings that make it fastest."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import aioboto3
import aiohttp
from aiobotocore.config import AioConfig
from botocore import xform_name
from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as SdkConnectionError

from counters.stores.dynamodb.answers import AnswerError, ConditionFailedError
from counters.stores.dynamodb.client import DynamoClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

_CONFIG: Final = AioConfig(
    # Repeats are the strategy's, so that each try can be counted.
    retries={"total_max_attempts": 1, "mode": "standard"},
    connect_timeout=1.0,
    max_pool_connections=128,
    parameter_validation=False,
    user_agent="distributed-counter",
)
_CONDITION_FAILED: Final = "ConditionalCheckFailedException"


@asynccontextmanager
async def open_sdk(try_timeout_s: float) -> AsyncIterator[DynamoClient]:
    """Open a client of the SDK behind the same port as the service's own; it raises the same errors.

    Args:
        try_timeout_s: Longest time that one call waits for its answer, in seconds.
    """
    config = _CONFIG.merge(AioConfig(read_timeout=try_timeout_s))
    session = aioboto3.Session(region_name=os.environ.get("AWS_REGION") or None)
    async with session.client("dynamodb", config=config) as sdk:

        async def send(*, action: str, payload: Mapping[str, Any]) -> dict[str, Any]:
            try:
                answer: dict[str, Any] = await getattr(sdk, xform_name(action))(**payload)
            except ClientError as error:
                raise _answer_error(error) from error
            except (SdkConnectionError, HTTPClientError) as error:
                raise aiohttp.ClientError(str(error)) from error
            return answer

        yield DynamoClient(send)


def _answer_error(error: ClientError) -> AnswerError:
    answer = error.response
    code = answer["Error"].get("Code", "")
    kind = ConditionFailedError if code == _CONDITION_FAILED else AnswerError
    return kind(answer["ResponseMetadata"]["HTTPStatusCode"], code, answer)
