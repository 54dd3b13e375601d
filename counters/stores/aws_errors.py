"""What an error of AWS proves: the one table that the API's store and the Lambda's share.

Standard library only, as the Lambda imports it. The codes are those of DynamoDB's API reference, of AWS's common errors
and of botocore's ``retries/standard.py``.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from http import HTTPStatus
from typing import Final, cast

from counters.errors import NotAppliedError, OutcomeUnknownError, StoreError, StoreRejectedError

_THROTTLED: Final = frozenset(
    {
        "BandwidthLimitExceeded",
        "LimitExceededException",
        "ProvisionedThroughputExceeded",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingError",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_IN_CONFLICT: Final = frozenset(
    {
        "ReplicatedWriteConflictException",
        "TransactionConflict",
        "TransactionConflictException",
    }
)
_SIGNATURE_REFUSED: Final = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "RequestExpired",
        "RequestInTheFuture",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
"""Expired or unknown credentials, and clocks that are apart: both pass, and nothing was done."""

_IN_DOUBT: Final = frozenset(
    {
        "InternalFailure",
        "InternalServerError",
        "PriorRequestNotComplete",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        # A transaction with this token is under way, so it may yet be carried out.
        "TransactionInProgressException",
    }
)


class Shortage(StrEnum):
    """What was short when DynamoDB throttled a call."""

    ITEM = "item"
    """One key, or a narrow range of keys, is hot; the table has capacity to spare."""

    TABLE = "table"
    """The table's provisioned capacity, or its own maximum on demand, is used up."""

    ACCOUNT = "account"
    """A quota of the AWS account is used up."""

    UNKNOWN = "unknown"
    """The answer does not say."""


_SHORTAGES: Final = {
    "KeyRangeThroughputExceeded": Shortage.ITEM,
    "ProvisionedThroughputExceeded": Shortage.TABLE,
    "MaxOnDemandThroughputExceeded": Shortage.TABLE,
    "AccountLimitExceeded": Shortage.ACCOUNT,
}
"""By the last part of a reason, such as ``TableWriteKeyRangeThroughputExceeded``."""


def error_class(code: str, status: int) -> type[StoreError]:
    """Return which of the core's errors an answer of AWS is.

    Args:
        code: AWS's name for the error; empty when the answer is not AWS's own.
        status: The HTTP status.
    """
    if code in _IN_DOUBT:
        return OutcomeUnknownError
    if is_throttled(code, status) or code in _IN_CONFLICT or is_signature_refused(code):
        return NotAppliedError
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.REQUEST_TIMEOUT:
        return OutcomeUnknownError
    return StoreRejectedError


def is_throttled(code: str, status: int) -> bool:
    """Return whether AWS, or a proxy on the way to it, refused a call because there were too many."""
    return code in _THROTTLED or status == HTTPStatus.TOO_MANY_REQUESTS


def is_signature_refused(code: str) -> bool:
    """Return whether AWS did not take the signature: the credentials expired or are unknown, or the clock is wrong."""
    return code in _SIGNATURE_REFUSED


def throttling_reasons(answer: Mapping[str, object]) -> tuple[str, ...]:
    """Return why a call was throttled, in DynamoDB's words, such as ``TableWriteKeyRangeThroughputExceeded``.

    Args:
        answer: All that the error says. Answers before August 2025, and those of emulators, give no reasons.
    """
    # ThrottlingException spells the field with a small letter.
    listed = answer.get("ThrottlingReasons") or answer.get("throttlingReasons") or ()
    return tuple(_reasons(listed))


def _reasons(listed: object) -> Iterator[str]:
    if isinstance(listed, Sequence):
        for one in listed:
            reason = cast("Mapping[str, object]", one).get("reason") if isinstance(one, Mapping) else None
            if isinstance(reason, str):
                yield reason


def shortage(reasons: Sequence[str]) -> Shortage:
    """Return what was short; of several reasons the one that more capacity helps least comes first."""
    found = {what for reason in reasons for end, what in _SHORTAGES.items() if reason.endswith(end)}
    return next((what for what in Shortage if what in found), Shortage.UNKNOWN)
