"""An engine, and the API's image. What needs them is left out of the run unless ``./taskw image:test`` asks for it.

Then a missing engine is a failure: a skip would hide that nothing was tested.
"""

import os
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from stack import aws
from stack.network import free_port, status_of, url_of
from stack.system import DEFAULT_TABLE, System, SystemSettings, running_system
from tests.docker.dockerfile import ROOT

PYTHON = "/opt/venv/bin/python"
READY_WITHIN_S = 15.0


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, and count as left out, what needs an engine."""
    if os.environ.get("IMAGE_TESTS") == "true":
        return
    needing = [item for item in items if "engine" in getattr(item, "fixturenames", ())]
    if needing:
        items[:] = [item for item in items if item not in needing]
        config.hook.pytest_deselected(items=needing)


def docker(*arguments: str) -> str:
    """Run the engine's client and return what it prints; the test fails with its message when it fails."""
    command = ["docker", *arguments]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603  # ours
    assert answer.returncode == 0, f"docker {' '.join(arguments)}\n{answer.stdout[-2_000:]}{answer.stderr}"
    return answer.stdout.strip()


class Container(NamedTuple):
    """A container of the API's image.

    Attributes:
        id: Its id.
        url: Where it serves.
    """

    id: str
    url: str

    def python(self, code: str) -> str:
        """Run Python in the container and return what it prints."""
        return docker("exec", self.id, PYTHON, "-c", code)

    def inspect(self, template: str) -> str:
        """Return what the engine knows."""
        return docker("inspect", "--format", template, self.id)


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


@contextmanager
def api_container(image: str, endpoint: str, *options: str) -> Iterator[Container]:
    """Run the API with nothing that it can do without, on this machine's network, and wait until it is ready."""
    port = free_port()
    variables: Mapping[str, str] = {**aws.environment(endpoint), "PORT": str(port)}
    settings = [word for name, value in variables.items() for word in ("--env", f"{name}={value}")]
    locked_down = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    identity = docker("run", "--detach", "--network", "host", *locked_down, *settings, *options, image)
    try:
        deadline = time.monotonic() + READY_WITHIN_S
        while status_of(f"{url_of(port)}/ready") != 200:
            assert time.monotonic() < deadline, docker("logs", identity)
            time.sleep(0.02)
        yield Container(identity, url_of(port))
    finally:
        docker("rm", "--force", identity)
