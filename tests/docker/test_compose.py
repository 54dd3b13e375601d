"""What ``./taskw compose:up`` brings up."""

import json
import os
import time
import urllib.request
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from stack import compose
from stack.network import free_port, url_of
from tests.support.containers import docker

pytestmark = pytest.mark.long

SETTLED_WITHIN_S = 20.0


@pytest.fixture
def url(engine: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:  # noqa: ARG001  # asked for first
    """Bring everything up under a name of its own, and take it down."""
    project, port = f"test-{uuid.uuid4().hex}", free_port()
    variables = {"COMPOSE_PROJECT_NAME": project, "PORT": str(port), "EMULATOR_PORT": str(free_port())}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    try:
        compose.start(os.environ)
        yield url_of(port)
    finally:
        compose.stop(os.environ)
    left = docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={project}")
    assert not left


def call(url: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401  # JSON
    """Return the answer to a GET, or to a POST when there is a body."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310  # ours
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  # likewise
        return json.load(answer)


def test_the_system_counts(url: str) -> None:
    account = call(f"{url}/accounts", {"username": "ada", "max_number_of_services": 5})["id"]
    for number in range(3):
        call(f"{url}/services", {"account_id": account, "name": f"service {number}"})
    deadline = time.monotonic() + SETTLED_WITHIN_S
    while True:
        (counter,) = call(f"{url}/counts/{account}")["items"]
        assert counter["best_effort"] == 3
        if counter["eventual"] == 3:
            return
        assert time.monotonic() < deadline, counter
        time.sleep(0.2)
