"""Every backend that the store's contract must hold on."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from stack import emulators
from stack.errors import EmulatorUnavailableError
from stack.network import free_port, url_of

BACKENDS = ["ministack", "dynamodb-local", *(["custom"] if os.environ.get("DYNAMODB_ENDPOINT") else [])]
"""Names to ask ``endpoint_of`` for."""


def endpoint_of(request: pytest.FixtureRequest, backend: str) -> str:
    """Return the address of a backend, which is started when it is first asked for, and once a session."""
    endpoint: str = request.getfixturevalue(f"{backend.replace('-', '_')}_endpoint")
    return endpoint


@pytest.fixture(scope="session")
def ministack_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a MiniStack that the whole session shares."""
    port = free_port()
    with emulators.ministack(port, _log(tmp_path_factory, "ministack")):
        yield url_of(port)


@pytest.fixture(scope="session")
def dynamodb_local_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a DynamoDB Local that the whole session shares; a machine that cannot run it skips, but not CI."""
    port = free_port()
    with ExitStack() as stack:
        try:
            stack.enter_context(emulators.dynamodb_local(port, _log(tmp_path_factory, "dynamodb-local")))
        except EmulatorUnavailableError as exc:
            if os.environ.get("CI") == "true":
                raise
            pytest.skip(str(exc))
        yield url_of(port)


@pytest.fixture(scope="session")
def custom_endpoint() -> str:
    """Address of the backend that the person who runs the tests brings along."""
    return os.environ["DYNAMODB_ENDPOINT"]


@pytest.fixture(scope="session", params=BACKENDS)
def dynamodb_endpoint(request: pytest.FixtureRequest) -> str:
    """Address of each backend in turn."""
    return endpoint_of(request, request.param)


def _log(tmp_path_factory: pytest.TempPathFactory, name: str) -> Path:
    return tmp_path_factory.mktemp("emulator") / f"{name}.log"
