"""Follow what ``up`` writes, API and Lambda together, one JSON event a line: ``./taskw logs`` (``PORT`` as for up)."""

import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from stack import runs
from stack.errors import StackError
from stack.network import read_port
from stack.up import API_PORT

_POLL_S: Final = 0.5
_HISTORY_BYTES: Final = 16_384
"""How much of the past a follower is shown of each file."""


def main() -> int:
    """Print new lines until interrupted or until the run ends; return the exit status."""
    try:
        port = read_port(os.environ, "PORT", API_PORT)
        runs.require(port)
    except StackError as exc:
        print(f"logs: {exc}", file=sys.stderr)
        return 1
    # Whoever reads us, head for one, may have seen enough.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    with suppress(KeyboardInterrupt):
        _follow(port)
    return 0


def _follow(port: int) -> None:
    folder = runs.folder_of(port)
    files = {"api": Follower(folder / f"api-{port}.log"), "lambda": Follower(folder / "lambda.log")}
    goes_on = True
    while goes_on:
        # Asked before reading, so that the last lines of a run that ends are read as well.
        goes_on = runs.goes_on(port)
        for source, follower in files.items():
            for line in follower.new_lines():
                print(to_event(source, line), flush=True)
        time.sleep(_POLL_S)


class Follower:
    """Reads the whole lines that are added to a file.

    Args:
        file: The file; it may come later.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._position: int | None = None

    def new_lines(self) -> list[str]:
        """Return the lines since the last call; the first call returns the newest of those that are there."""
        try:
            with self._file.open("rb") as file:
                if self._position is None:
                    self._position = _history_start(file)
                file.seek(self._position)
                # The last piece is a line that is still being written, or nothing.
                whole, newline, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return []
        self._position += len(whole) + len(newline)
        return whole.decode(errors="replace").splitlines()


def to_event(source: str, line: str) -> str:
    """Return a log line as one line of JSON that names its source; what is not an event becomes one's message."""
    try:
        event = json.loads(line)
    except ValueError:
        event = line
    fields = event if isinstance(event, dict) else {"message": line}
    return json.dumps({"source": source, **fields}, ensure_ascii=False)


def _history_start(file: BinaryIO) -> int:
    """Return where the first whole line of the newest part of a file begins."""
    size = file.seek(0, os.SEEK_END)
    if size <= _HISTORY_BYTES:
        return 0
    file.seek(size - _HISTORY_BYTES)
    file.readline()
    return file.tell()


if __name__ == "__main__":
    sys.exit(main())
