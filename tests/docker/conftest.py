"""An engine, and the API's image. What needs them is left out of the run unless ``./taskw image:test`` asks for it.

Then a missing engine is a failure: a skip would hide that nothing was tested.
"""

import os
import uuid
from collections.abc import Iterator

import pytest

from stack.network import free_port
from stack.system import DEFAULT_TABLE, System, SystemSettings, running_system
from tests.support.containers import docker


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, and count as left out, what needs an engine."""
    if os.environ.get("IMAGE_TESTS") == "true":
        return
    needing = [item for item in items if "engine" in getattr(item, "fixturenames", ())]
    if needing:
        items[:] = [item for item in items if item not in needing]
        config.hook.pytest_deselected(items=needing)


@pytest.fixture(scope="session")
def engine() -> None:
    """Make sure that an engine answers."""
    docker("version")


@pytest.fixture(scope="session")
def image(engine: None) -> Iterator[str]:  # noqa: ARG001  # asked for first
    """Build the API's image as ``image:build`` does; yields its name."""
    name = f"distributed-counter-test:{uuid.uuid4().hex}"
    docker("build", "--file", "docker/api.Dockerfile", "--tag", name, ".")
    yield name
    docker("image", "rm", "--no-prune", name)


@pytest.fixture(scope="session")
def emulated(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:  # noqa: ARG001  # likewise
    """Run an emulator with all that the API needs on this machine, and no API."""
    with running_system(SystemSettings(free_port(), [], DEFAULT_TABLE, tmp_path_factory.mktemp("logs"))) as system:
        yield system
