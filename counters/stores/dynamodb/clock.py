"""How far this machine's clock is from DynamoDB's, and what a process does that is too far from it."""

import logging
import re
from datetime import UTC, datetime
from time import monotonic, time
from typing import Final

from counters.stores.dynamodb.answers import NotSentError

WRONG_MAX_S: Final = 60.0
"""``HEAL_AFTER_S`` allows a minute for each clock. AWS refuses a signature that is older than 15 minutes by its clock.
So each second that ours is ahead lets a request arrive a second later. Each second that ours is behind makes what we
note in a counter a second older than it is, and so each wait a second shorter."""

_READS: Final = frozenset({"GetItem", "BatchGetItem", "Query"})
"""What changes nothing, however late it arrives."""

_DATE_STEP_S: Final = 1.0
"""``Date`` has no fractions of a second: DynamoDB's clock showed up to a second more."""

_LOG_INTERVAL_S: Final = 60.0

_DATE: Final = re.compile(r"[A-Z][a-z]{2}, (\d{2}) ([A-Z][a-z]{2}) (\d{4}) (\d{2}):(\d{2}):(\d{2}) GMT", re.ASCII)
"""The one format that RFC 9110 lets a server send. It has English names, whatever the locale."""

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

logger = logging.getLogger(__name__)


class ClockWatch:
    """What the newest answer with a ``Date`` shows: how far the clock is ahead of DynamoDB's or behind, at least."""

    def __init__(self) -> None:
        self._ahead_s = 0.0
        self._behind_s = 0.0
        self._origin_s = 0.0
        self._date: str | None = None
        self._date_s: float | None = None
        self._silent_until = 0.0

    def learn(self, date: str | None, sent_at: float, began: float, answered_at: float) -> None:
        """Learn from an answer. A header that is missing or cannot be read teaches nothing.

        Args:
            date: The answer's ``Date``.
            sent_at: Our clock when the call was sent, in seconds since the epoch. DynamoDB's clock was read between
                this and the answer, so the way there and back makes neither difference too great.
            began: The same moment in monotonic time, in seconds, which goes on evenly when the clock is set.
            answered_at: Our clock when the answer came.
        """
        if date != self._date:
            self._date, self._date_s = date, _seconds(date)
        if self._date_s is not None:
            self._ahead_s = sent_at - self._date_s - _DATE_STEP_S
            self._behind_s = self._date_s - answered_at
            self._origin_s = sent_at - began

    def check(self, action: str) -> None:
        """See to it that no call is sent that could be carried out too late, or that notes a time long past.

        Raises:
            NotSentError: The call writes, and the clock is too far ahead or behind.
        """
        if max(self._ahead_s, self._behind_s) <= WRONG_MAX_S or action in _READS:
            return
        # A process that only writes gets no answer any more, so it sees by itself that the clock was set.
        set_by_s = time() - monotonic() - self._origin_s
        for wrong_s, where in ((self._ahead_s + set_by_s, "ahead of"), (self._behind_s - set_by_s, "behind")):
            if wrong_s > WRONG_MAX_S:
                self._say(wrong_s, where)
                raise NotSentError(f"This machine's clock is {wrong_s:.0f} s {where} DynamoDB's.")

    def _say(self, wrong_s: float, where: str) -> None:
        now = monotonic()
        if now >= self._silent_until:
            self._silent_until = now + _LOG_INTERVAL_S
            event = f"clock.{where.partition(' ')[0]}"
            logger.error(event, extra={"fields": {"seconds": round(wrong_s), "next": _ADVICE}})


_ADVICE: Final = "Set this machine's clock. Until it is right this process writes nothing, and its callers get 503."


def _seconds(date: str | None) -> float | None:
    """Return a time of HTTP in seconds since the epoch; None: it is missing or cannot be read."""
    found = _DATE.fullmatch(date or "")
    if found is None or found[2] not in _MONTHS:
        return None
    day, year, hour, minute, second = map(int, found.group(1, 3, 4, 5, 6))
    try:
        return datetime(year, _MONTHS.index(found[2]) + 1, day, hour, minute, second, tzinfo=UTC).timestamp()
    except ValueError:
        return None
