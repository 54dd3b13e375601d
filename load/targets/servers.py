"""DynamoDB, of a kind, and API processes on it, for one measurement."""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from stack import aws
from stack.emulators import ministack
from stack.harness.client import Request
from stack.network import free_port, status_of, url_of
from stack.processes import Program, running
from stack.system import api_program, wait_for_api

_READY_WITHIN_S: Final = 10.0


class BenchServer(NamedTuple):
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
        dynamodb: What stands for DynamoDB.
    """

    def __init__(self, dynamodb: BenchServer, logs: Path, stack: ExitStack) -> None:
        self.dynamodb = dynamodb
        self._logs = logs
        self._stack = stack

    def serve(self, table: str, module: Sequence[str], **settings: str) -> BenchServer:
        """Start an API process on a table, with settings besides those for an emulator; wait until it serves."""
        port = free_port()
        program = api_program(module, port, self.dynamodb.url, table, self._logs)
        process = self._stack.enter_context(running(program._replace(environment={**program.environment, **settings})))
        wait_for_api(process, port)
        return BenchServer(url_of(port), process.pid)


@contextmanager
def bench() -> Iterator[Bench]:
    """Run an emulator for one measurement.

    Raises:
        StackError: It did not start.
    """
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        port = free_port()
        process = stack.enter_context(ministack(port, Path(folder) / "ministack.log"))
        yield Bench(BenchServer(url_of(port), process.pid), Path(folder), stack)


@contextmanager
def bench_without_emulator() -> Iterator[Bench]:
    """Run the stand-in that costs next to nothing for one measurement.

    Raises:
        StackError: It did not start.
    """
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        port = free_port()
        command = [sys.executable, "-m", "stack.harness.stand_in", str(port)]
        program = Program("The stand-in for DynamoDB", command, aws.without_aws(), Path(folder) / "stand-in.log", 1.0)
        process = stack.enter_context(running(program))
        # A GET is no call that it knows, which it says.
        process.wait_until(lambda: status_of(url_of(port)) is not None, _READY_WITHIN_S)
        yield Bench(BenchServer(url_of(port), process.pid), Path(folder), stack)


def create(url: str, account_id: str, path: str = "/services", own_id: str | None = None) -> Request:
    """Return the request that creates a service, under the caller's own id if there is one."""
    id_field = "" if own_id is None else f',"id":"{own_id}"'
    return Request("POST", f"{url}{path}", f'{{"account_id":"{account_id}","name":"load"{id_field}}}'.encode())
