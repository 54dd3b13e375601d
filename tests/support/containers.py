"""Containers of the API's image."""

import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NamedTuple

from stack import aws
from stack.network import free_port, status_of, url_of
from stack.paths import ROOT

PYTHON: Final = "/opt/venv/bin/python"
READY_WITHIN_S: Final = 15.0


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
