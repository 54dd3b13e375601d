"""An emulator and API processes on it, for one measurement."""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from load.accounts import UNLIMITED, Accounts
from load.client import Request
from stack.emulators import ministack
from stack.network import free_port, url_of
from stack.processes import running
from stack.system import api_program, wait_for_api


class Server(NamedTuple):
    """A process.

    Attributes:
        url: Its address.
        pid: Its process id.
    """

    url: str
    pid: int

    def cpu_s(self) -> float:
        """Return the processor time that it has used so far, in seconds."""
        used = psutil.Process(self.pid).cpu_times()
        return float(used.user + used.system)

    def memory_mb(self) -> float:
        """Return its resident memory, in megabytes."""
        return float(psutil.Process(self.pid).memory_info().rss / 1e6)


class Bench:
    """Where a measurement takes place.

    Attributes:
        emulator: The emulator.
    """

    def __init__(self, emulator: Server, logs: Path, stack: ExitStack) -> None:
        self.emulator = emulator
        self._logs = logs
        self._stack = stack

    def serve(self, table: str, module: Sequence[str]) -> Server:
        """Start an API process on a table and wait until it serves; it ends with the bench."""
        port = free_port()
        process = self._stack.enter_context(running(api_program(module, port, self.emulator.url, table, self._logs)))
        wait_for_api(process, port)
        return Server(url_of(port), process.pid)


@contextmanager
def bench() -> Iterator[Bench]:
    """Run an emulator for one measurement.

    Raises:
        StackError: It did not start.
    """
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        port = free_port()
        process = stack.enter_context(ministack(port, Path(folder) / "ministack.log"))
        yield Bench(Server(url_of(port), process.pid), Path(folder), stack)


def make_account(url: str) -> str:
    """Make an account without a limit that could be reached; return its id."""
    (account_id,) = Accounts(url).make(1, UNLIMITED)
    return account_id


def create(url: str, account_id: str, path: str = "/services") -> Request:
    """Return the request that creates a service."""
    return Request("POST", f"{url}{path}", f'{{"account_id":"{account_id}","name":"load"}}'.encode())


def progress(text: str) -> None:
    """Tell whoever waits."""
    print(text, file=sys.stderr, flush=True)
