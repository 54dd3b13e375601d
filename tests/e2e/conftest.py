"""The whole system, for tests from outside."""

from collections.abc import Iterator

import pytest

from stack.harness.ledger import Table
from stack.network import free_port
from stack.system import DEFAULT_TABLE, System, SystemSettings, running_system

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
def table(stack: System) -> Table:
    """The table of the running system, read past the service."""
    return Table(stack.endpoint, stack.provisioned.table)
