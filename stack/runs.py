"""Runs of ``up``: each has a folder, by the port of its API, with its logs, a lock and a note of what it runs.

The lock says whether it goes on.
"""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from stack.errors import StackError
from stack.paths import LOGS

_NOTE: Final = "run.json"


class Run(NamedTuple):
    """What a run runs.

    Attributes:
        api: Address of its API.
        endpoint: Address of its emulator.
        table: Name of its table.
        region: Region that the table is in.
    """

    api: str
    endpoint: str
    table: str
    region: str


def folder_of(port: int) -> Path:
    """Return the folder with the logs of the run whose API has this port."""
    return LOGS / str(port)


@contextmanager
def locked(port: int) -> Iterator[Path]:
    """Make the run's folder and hold its lock, which the kernel gives back however this process ends.

    Yields:
        The folder.

    Raises:
        StackError: Such a run goes on already.
    """
    folder = folder_of(port)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise StackError(f"A stack with PORT={port} runs already.") from exc
        # Nobody must take what an earlier run wrote for ours.
        for old in (*folder.glob("*.log"), folder / _NOTE):
            old.unlink(missing_ok=True)
        yield folder


def record(port: int, run: Run) -> None:
    """Note what our run runs, once it is ready."""
    note = folder_of(port) / _NOTE
    # A rename, so that nobody reads a half of it.
    draft = note.with_suffix(".new")
    draft.write_text(json.dumps(run._asdict()))
    draft.replace(note)


def find(port: int) -> Run:
    """Return what the run whose API has this port runs.

    Raises:
        StackError: There is none, or it is not ready yet.
    """
    require(port)
    try:
        return Run(**json.loads((folder_of(port) / _NOTE).read_text()))
    except FileNotFoundError:
        raise StackError(f"What runs with PORT={port} is not ready yet.") from None


def goes_on(port: int) -> bool:
    """Return whether a run whose API has this port goes on."""
    try:
        with (folder_of(port) / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def require(port: int) -> None:
    """Make sure that a run whose API has this port goes on.

    Raises:
        StackError: There is none.
    """
    if not goes_on(port):
        raise StackError(f"Nothing runs with PORT={port}. Start it with ./taskw up.")
