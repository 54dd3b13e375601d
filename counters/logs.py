"""Structured logs: one event a line, as one JSON object.

Standard library only, because API and Lambda both log through it. An event has a short constant name and its details
as fields:

    logger.info("settled", extra={"fields": {"counters": 3, "records": 25}})
"""

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final

request_id: Final = ContextVar[str]("request_id")
"""The id of the HTTP request that is being served, or that started the work in the background."""


class JsonFormatter(logging.Formatter):
    """Writes a record as one JSON object on one line.

    The object has ``time`` (ISO 8601, UTC, milliseconds), ``level``, ``event`` (the message), the ``request_id`` while
    there is one, the fields passed as ``extra={"fields": {...}}``, and for an exception its ``traceback``. Values that
    JSON does not know become text.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        if (current := request_id.get(None)) is not None:
            line["request_id"] = current
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, separators=(",", ":"))


def configure_logging(level: str) -> None:
    """Send the logs of the whole process to standard output, one JSON object a line.

    Handlers that are there already are replaced: the one that AWS Lambda installs would write every event a second
    time, and it takes line ends from its own format.

    Args:
        level: Least level that is written, such as ``INFO``; case does not matter.

    Raises:
        ValueError: There is no such level.
    """
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
