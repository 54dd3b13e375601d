"""What a failed call proves: the one place where botocore's errors become the core's."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import aiohttp
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
)
from botocore.exceptions import (
    ConnectionError as BotoConnectionError,
)
from botocore.parsers import ResponseParserError

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
_SERVER_ERROR: Final = 500


def cancellation_reasons(error: ClientError) -> list[str]:
    """Return a cancelled transaction's reasons, one for each item in order; ``None`` is for an item without fault."""
    return [reason.get("Code", "None") for reason in error.response.get("CancellationReasons", [])]


@contextmanager
def translated() -> Iterator[None]:
    """Raise the core's errors instead of the SDK's.

    Raises:
        NotAppliedError: Throttled, in conflict with a transaction, or never sent.
        OutcomeUnknownError: A time-out, a broken connection, or a server's error.
        StoreRejectedError: Anything else; repeating cannot help.
    """
    try:
        yield
    except ClientError as error:
        raise _from_response(error) from error
    except (BotoConnectionError, HTTPClientError) as error:
        raise _from_connection(error) from error
    except ResponseParserError as error:
        raise OutcomeUnknownError(str(error)) from error
    except BotoCoreError as error:
        raise StoreRejectedError(str(error)) from error


def _from_response(error: ClientError) -> StoreError:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    reasons = set(cancellation_reasons(error)) - {"None"}
    if code in _NOTHING_APPLIED or (reasons and reasons <= _NOTHING_APPLIED):
        return NotAppliedError(str(error))
    if status >= _SERVER_ERROR:
        return OutcomeUnknownError(str(error))
    return StoreRejectedError(str(error))


def _from_connection(error: BotoConnectionError | HTTPClientError) -> StoreError:
    if isinstance(error, ConnectTimeoutError):
        return NotAppliedError(str(error))
    # aiobotocore reports a connection that broke in mid-request as one that was never made; the cause tells.
    cause = error.kwargs.get("error")
    if isinstance(error, EndpointConnectionError) and isinstance(cause, aiohttp.ClientConnectorError):
        return NotAppliedError(str(error))
    return OutcomeUnknownError(str(error))
