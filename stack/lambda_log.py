"""The Lambda's log lines, copied from the emulator's CloudWatch Logs into a file."""

import time
from pathlib import Path
from typing import Final

from stack import aws

_LAG_MS: Final = 1_000
"""Age at which a line is asked for. Emulators give no ids to tell lines apart, so that no line may be asked for twice,
and any of that age is there by now: a line gets its time when its invocation ends, just before it is stored."""

_PLATFORM_LINES: Final = ("START RequestId: ", "END RequestId: ", "REPORT RequestId: ")
"""What Lambda itself writes around each invocation, in its default format."""


class LambdaLog:
    """Copies what a function prints.

    Args:
        endpoint: Address of the emulator.
        function: Name of the function.
        file: Where the lines go; overwritten.
        since_ms: Time of the first lines to copy, in milliseconds since the epoch.
    """

    def __init__(self, endpoint: str, function: str, file: Path, since_ms: int) -> None:
        self._logs = aws.logs_client(endpoint)
        self._group = f"/aws/lambda/{function}"
        self._file = file
        self._start_ms = since_ms
        file.write_text("")

    def copy_new_lines(self) -> None:
        """Append the lines since the last call.

        Raises:
            BotoCoreError: The emulator did not answer.
            ClientError: The emulator refused.
        """
        end_ms = now_ms() - _LAG_MS
        if end_ms < self._start_ms:
            return
        messages = self._read(self._start_ms, end_ms)
        with self._file.open("a") as file:
            file.writelines(f"{line.rstrip()}\n" for line in messages if not line.startswith(_PLATFORM_LINES))
        self._start_ms = end_ms + 1

    def _read(self, start_ms: int, end_ms: int) -> list[str]:
        """Return the messages of a span of time, both ends included."""
        pages = self._logs.get_paginator("filter_log_events").paginate(
            logGroupName=self._group, startTime=start_ms, endTime=end_ms
        )
        try:
            return [event["message"] for page in pages for event in page["events"] if "message" in event]
        except self._logs.exceptions.ResourceNotFoundException:
            # The group comes with the function's first line.
            return []


def now_ms() -> int:
    """Return the time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
