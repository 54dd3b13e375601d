"""What a failed call proves: the one place where the clients' errors become the core's."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as BotoConnectionError

from counters.dynamodb.wire import AnswerError, DamagedAnswerError
from counters.errors import NotAppliedError, OutcomeUnknownError, StoreError, StoreRejectedError

CONDITION_FAILED: Final = "ConditionalCheckFailed"
"""A transaction's cancellation reason for an item whose condition did not hold."""

_NOTHING_APPLIED: Final = frozenset(
    {
        "LimitExceededException",
        "ProvisionedThroughputExceeded",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ThrottlingError",
        "ThrottlingException",
        "TransactionConflict",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)


def cancellation_reasons(error: AnswerError) -> list[str]:
    """Return a cancelled transaction's reasons, one for each item in order; ``None`` is for an item without fault."""
    return [reason.get("Code", "None") for reason in error.fields.get("CancellationReasons", [])]


@contextmanager
def translated() -> Iterator[None]:
    """Raise the core's errors instead of the clients'.

    Raises:
        NotAppliedError: Throttled, in conflict with a transaction, or never sent.
        OutcomeUnknownError: A time-out, a broken connection, or a server's error.
        StoreRejectedError: Anything else; repeating cannot help.
    """
    try:
        yield
    except AnswerError as error:
        raise _from_answer(error) from error
    except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError) as error:
        raise NotAppliedError(str(error)) from error
    except (aiohttp.ClientError, DamagedAnswerError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise OutcomeUnknownError(str(error)) from error
    # The SDK only looks for credentials, so DynamoDB has been sent nothing yet.
    except (BotoConnectionError, HTTPClientError, ClientError) as error:
        raise NotAppliedError(str(error)) from error
    except BotoCoreError as error:
        raise StoreRejectedError(str(error)) from error


def _from_answer(error: AnswerError) -> StoreError:
    reasons = set(cancellation_reasons(error)) - {"None"}
    if error.code in _NOTHING_APPLIED or (reasons and reasons <= _NOTHING_APPLIED):
        return NotAppliedError(str(error))
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return OutcomeUnknownError(str(error))
    return StoreRejectedError(str(error))
