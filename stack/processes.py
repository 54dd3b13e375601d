"""Child processes that are waited for, watched, stopped in time and never left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from stack import child
from stack.errors import StackError
from stack.paths import ROOT

_POLL_S: Final = 0.05
_LOG_TAIL_LINES: Final = 15


class Program(NamedTuple):
    """What to run.

    Attributes:
        name: What to call it in messages.
        command: Program and arguments.
        environment: Its whole environment.
        log: The file that its output goes to; overwritten.
        grace_s: Seconds between asking it to end and ending it.
    """

    name: str
    command: Sequence[str | Path]
    environment: Mapping[str, str]
    log: Path
    grace_s: float


class ChildProcess:
    """A program that runs, started in the root of the checkout."""

    def __init__(self, program: Program, process: subprocess.Popen[bytes]) -> None:
        self._program = program
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id, which is also the id of its process group."""
        return self._process.pid

    def require_running(self) -> None:
        """Make sure that it still runs.

        Raises:
            StackError: It ended; with the end of its log.
        """
        exit_code = self._process.poll()
        if exit_code is None:
            return
        log = self._program.log
        tail = "".join(f"\n  | {line}" for line in log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:])
        raise StackError(f"{self._program.name} stopped by itself (exit code {exit_code}). Its log is {log}{tail}")

    def wait_until(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """Return when ``ready`` says so.

        Raises:
            StackError: It ended first, or the time ran out.
        """
        deadline = time.monotonic() + timeout_s
        while not ready():
            self.require_running()
            if time.monotonic() > deadline:
                program = self._program
                raise StackError(f"{program.name} was not ready within {timeout_s:.0f} s. Its log is {program.log}")
            time.sleep(_POLL_S)

    def wait(self) -> int:
        """Wait until it ends without our doing, and return its exit code; negative for the signal that ended it.

        Raises:
            subprocess.TimeoutExpired: It did not end within its grace.
        """
        return self._process.wait(self._program.grace_s)

    def stop(self) -> None:
        """Ask it to end, and end it when it has not done so in time; its own children end with it."""
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(self._program.grace_s)
        # Nobody is left in the group; macOS says so with the second error.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


@contextmanager
def running(program: Program) -> Iterator[ChildProcess]:
    """Run a program for as long as the context lasts; to be called from the main thread.

    The program gets a session of its own: Ctrl-C at the terminal reaches only us, and we stop our children in order.

    Yields:
        The running program.
    """
    program.log.parent.mkdir(parents=True, exist_ok=True)
    with program.log.open("wb") as output:
        process = subprocess.Popen(
            [*_tied_to_us(), *map(str, program.command)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(program.environment),
            cwd=ROOT,
            start_new_session=True,
        )
    started = ChildProcess(program, process)
    try:
        yield started
    finally:
        started.stop()


def _tied_to_us() -> list[str]:
    """Return the command prefix that makes a child end with us even if we are killed; empty where it cannot be had."""
    if sys.platform != "linux":
        return []
    return [sys.executable, "-I", "-S", child.__file__, str(os.getpid())]
