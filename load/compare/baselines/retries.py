"""Repeats as the SDK's standard mode does, which AWS recommends: three tries, exponential waits with full jitter.

What is repeated, and after what wait, is asked of botocore itself. Only that mode's quota is left out, which ends
repeats when many calls fail at once: a baseline gets all of its tries.
"""

import asyncio
from collections.abc import Mapping
from random import Random
from typing import Any, Final

import aiohttp
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.retries import standard

from counters.stores.dynamodb.answers import AnswerError
from counters.stores.dynamodb.client import Send

TRIES_MAX: Final = 3

_passes: Final = standard.OrRetryChecker([standard.TransientRetryableChecker(), standard.ThrottledRetryableChecker()])


def repeated(send: Send, random: Random) -> Send:
    """Return what sends a call until it is answered for good, three times at most, and raises the last try's error.

    Args:
        send: What sends each try.
        random: Source of the waits.
    """
    backoff = standard.ExponentialBackoff(random=random.random)

    async def send_repeatedly(*, action: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        for number in range(1, TRIES_MAX):
            try:
                return await send(action=action, payload=payload)
            except AnswerError as error:
                context = _context(number, error)
                if not _passes.is_retryable(context):
                    raise
            except aiohttp.ClientError:
                # No answer at all.
                context = standard.RetryContext(number)
            await asyncio.sleep(backoff.delay_amount(context))
        return await send(action=action, payload=payload)

    return send_repeatedly


def _context(number: int, error: AnswerError) -> standard.RetryContext:
    """Return what botocore would know of a try that was answered with an error."""
    answer = AWSResponse("", error.status, HTTPHeaders(), None)
    return standard.RetryContext(number, parsed_response={"Error": {"Code": error.code}}, http_response=answer)
