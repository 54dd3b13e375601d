"""Fixtures of the whole system, for tests from outside."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from stack.harness.ledger import TableReader
from stack.network import free_port, url_of
from stack.processes import ChildProcess, running
from stack.system import DEFAULT_TABLE, System, SystemSettings, api_program, running_system, wait_for_api

_API_PROCESSES = 4
"""One process has nobody to disagree with; ``@pytest.mark.parametrize("stack", [N], indirect=True)`` asks for N."""


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Emulator, Lambda and API processes, started as ``./taskw up`` does; the whole session shares them."""
    processes: int = getattr(request, "param", _API_PROCESSES)
    ports = [free_port() for _ in range(processes)]
    settings = SystemSettings(free_port(), ports, DEFAULT_TABLE, tmp_path_factory.mktemp("logs"))
    with running_system(settings) as system:
        yield system


@pytest.fixture(scope="session")
def table(stack: System) -> TableReader:
    """The table of the running system, read past the service."""
    return TableReader(stack.endpoint, stack.provisioned.table)


@contextmanager
def api_process(stack: System, module: Sequence[str], logs: Path) -> Iterator[tuple[str, ChildProcess]]:
    """Run one API process more on the system's table."""
    port = free_port()
    program = api_program(module, port, stack.endpoint, stack.provisioned.table, logs)
    with running(program) as process:
        wait_for_api(process, port)
        yield url_of(port), process
