"""Runs of ``up``: each has a folder for its logs, by the port of its API, and a lock that says whether it goes on."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stack.errors import StackError
from stack.paths import LOGS


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
        # A follower must not take the logs of an earlier run for the beginning of ours.
        for log in folder.glob("*.log"):
            log.unlink()
        yield folder


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
        raise StackError(f"Nothing runs with PORT={port}. Start it with ./taskw up")
