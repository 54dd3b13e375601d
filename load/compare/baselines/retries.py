"""Repeats as the SDK's standard mode does, which AWS recommends: three tries, exponential waits with full jitter.

Without that mode's quota, which ends repeats when many calls fail at once: a baseline gets all of its tries.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from counters.stores.dynamodb.wire import AnswerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from random import Random

    from counters.stores.dynamodb.client import Send

TRIES_MAX: Final = 3
WAIT_S_MAX: Final = 20.0

_TRANSIENT: Final = frozenset(
    {
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
_THROTTLED: Final = frozenset(
    {
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ThrottlingException",
        "TransactionInProgressException",
    }
)
"""Of the codes in botocore's ``retries/standard.py``, those that DynamoDB sends. No conflict is among them."""


class StandardRetries:
    """Sends a call until it is answered for good, three times at most.

    Args:
        send: What sends each try.
        random: Source of the waits.
        sleep: Waits, in seconds.
    """

    def __init__(self, send: Send, random: Random, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._send = send
        self._random = random
        self._sleep = sleep

    async def send(self, *, action: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """See ``Send``.

        Raises:
            AnswerError: The answer of the last try, or one that no repeat would change.
            aiohttp.ClientError: The last try had no answer.
        """
        for attempt in range(TRIES_MAX - 1):
            try:
                return await self._send(action=action, payload=payload)
            except (AnswerError, aiohttp.ClientError) as error:
                if not _may_pass(error):
                    raise
            await self._sleep(self._random.random() * min(2.0**attempt, WAIT_S_MAX))
        return await self._send(action=action, payload=payload)


def _may_pass(error: AnswerError | aiohttp.ClientError) -> bool:
    """Return whether it was throttling, a server's error, or no answer at all."""
    return not isinstance(error, AnswerError) or error.status in _TRANSIENT or error.code in _THROTTLED
