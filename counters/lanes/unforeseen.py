"""What a lane does with an error that nobody foresaw."""

import logging

from counters.errors import OverloadedError
from counters.keys import CounterKey

logger = logging.getLogger(__name__)


def unforeseen(event: str, key: CounterKey, error: Exception) -> OverloadedError:
    """Log an error that nobody foresaw, and return what to answer: nothing is known of what was sent."""
    logger.error(event, exc_info=error, extra={"fields": {**key._asdict(), "reason": repr(error)}})
    return OverloadedError(
        "Something failed, and it is not known whether the entry was stored; look for it, or try again."
    )
