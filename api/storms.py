"""Logs of what may come in storms."""

import logging
import time
from typing import Final

_INTERVAL_S: Final = 1.0


class StormLog:
    """Logs one line a second at most, with the number of events it stands for: a storm is not logged as a storm."""

    def __init__(self, logger: logging.Logger, level: int, event: str) -> None:
        self._logger = logger
        self._level = level
        self._event = event
        self._count = 0
        self._silent_until = 0.0

    def observe(self, **fields: object) -> None:
        """Count one event; ``fields`` tell of this one, if it is logged."""
        self._count += 1
        now = time.monotonic()
        if now >= self._silent_until:
            self._logger.log(self._level, self._event, extra={"fields": {"count": self._count, **fields}})
            self._count = 0
            self._silent_until = now + _INTERVAL_S
