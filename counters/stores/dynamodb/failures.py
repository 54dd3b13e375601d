"""What a failed call proves: the one place where the client's errors become the core's."""

import json
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

import aiohttp

from counters.errors import NotAppliedError, OutcomeUnknownError, StoreError, StoreRejectedError
from counters.stores.aws_errors import error_class, is_throttled, shortage, throttling_reasons
from counters.stores.dynamodb.answers import AnswerError, DamagedAnswerError, NotSentError

CONDITION_FAILED: Final = "ConditionalCheckFailed"
"""A transaction's cancellation reason for an item whose condition did not hold."""

_CANCELLED: Final = "TransactionCanceledException"
_LOG_INTERVAL_S: Final = 1.0

logger = logging.getLogger(__name__)


def cancellation_reasons(error: AnswerError) -> list[str]:
    """Return a cancelled transaction's reasons, one for each item in order; ``None`` is for an item without fault."""
    return [reason.get("Code", "None") for reason in error.fields.get("CancellationReasons", [])]


@contextmanager
def translated() -> Iterator[None]:
    """Raise the core's errors instead of the client's.

    Raises:
        NotAppliedError: Throttled, in conflict with a transaction, refused for its signature, or never sent.
        OutcomeUnknownError: A time-out, a broken connection, or a server's error.
        StoreRejectedError: Anything else; repeating cannot help.
    """
    try:
        yield
    except AnswerError as error:
        raise from_answer(error) from error
    except NotSentError as error:
        raise NotAppliedError(str(error)) from error
    except (aiohttp.ClientError, DamagedAnswerError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise OutcomeUnknownError(str(error)) from error


def from_answer(error: AnswerError) -> StoreError:
    """Return which of the core's errors an error that DynamoDB answered is."""
    codes = set(cancellation_reasons(error)) - {"None"} if error.code == _CANCELLED else set[str]()
    classes = {error_class(code, error.status) for code in codes or {error.code}}
    reasons = throttling_reasons(error.fields)
    if any(is_throttled(code, error.status) for code in codes or {error.code}):
        _throttling_log.observe(error, reasons)
    # Of a transaction's reasons, one that is hopeless makes the whole so.
    (kind,) = classes if len(classes) == 1 else (StoreRejectedError,)
    return kind(str(error), throttled_by=reasons)


class ThrottlingLog:
    """Logs a line a second at most, with how often each reason was given: throttling comes in storms."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._silent_until = 0.0

    def observe(self, error: AnswerError, reasons: tuple[str, ...]) -> None:
        """Count a call that was throttled, for these reasons if there are any."""
        self._counts.update(reasons or (error.code,))
        now = monotonic()
        if now >= self._silent_until:
            self._silent_until = now + _LOG_INTERVAL_S
            counts, self._counts = dict(self._counts), Counter()
            fields = {"short": shortage(tuple(counts)), "reasons": counts, "reason": str(error)}
            logger.warning("store.throttled", extra={"fields": fields})


_throttling_log: Final = ThrottlingLog()
