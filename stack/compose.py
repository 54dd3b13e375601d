"""Run the whole system in containers: ``./taskw compose:up`` and ``./taskw compose:down``.

Environment variables: ``PORT`` of the API (8000), ``EMULATOR_PORT`` (4566), and ``COMPOSE_PROFILES``: ``ministack``,
or ``localstack``, which needs ``LOCALSTACK_AUTH_TOKEN``.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

from stack.docker_engine import ask, require_engine
from stack.errors import StackError
from stack.network import read_port, status_of, url_of
from stack.paths import ROOT
from stack.up import API_PORT

COMPOSE_FILE: Final = ROOT / "docker" / "compose.yml"
# Named because versions differ in whether they look for it in the working directory.
_FILES: Final = ("--env-file", str(COMPOSE_FILE.with_name(".env")), "--file", str(COMPOSE_FILE))
EMULATORS: Final = ("ministack", "localstack")

_READY_TIMEOUT_S: Final = 60.0
_POLL_S: Final = 0.2


def main() -> int:
    """Do what the command line says, ``up`` or ``down``, and return the exit status."""
    actions = {"up": start, "down": stop}
    try:
        actions[sys.argv[1]](os.environ)
    except KeyboardInterrupt:
        return 130
    except StackError as exc:
        print(f"compose:{sys.argv[1]}: {exc}", file=sys.stderr)
        return 1
    return 0


def start(environment: Mapping[str, str]) -> None:
    """Build the images, start the containers and wait until the API serves.

    Raises:
        StackError: Something is missing or did not start.
    """
    api = url_of(read_port(environment, "PORT", API_PORT))
    require_token(environment)
    compose = find_compose()
    command = [*compose, *_FILES]
    logs = f"See: {' '.join(compose)} --file docker/compose.yml logs"
    if subprocess.run([*command, "up", "--build", "--detach", "--remove-orphans"], check=False).returncode != 0:
        raise StackError(f"The containers did not start; the reason is above. {logs}")
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while status_of(f"{api}/ready") != HTTPStatus.OK:
        if time.monotonic() > deadline:
            raise StackError(f"The API at {api} was not ready within {_READY_TIMEOUT_S:.0f} s. {logs}")
        time.sleep(_POLL_S)
    print(f"Ready: {api} (explorer: {api}/swagger). ./taskw compose:down stops everything.")


def stop(environment: Mapping[str, str]) -> None:
    """Stop the containers, the API first, and remove them with all they counted.

    Raises:
        StackError: No engine answers, or it could not.
    """
    command = [*find_compose(), *_FILES, "down", "--volumes", "--remove-orphans"]
    everything = {**environment, "COMPOSE_PROFILES": ",".join(EMULATORS)}
    if subprocess.run(command, env=everything, check=False).returncode != 0:
        raise StackError("The containers could not be removed; the reason is above.")


def require_token(environment: Mapping[str, str]) -> None:
    """Make sure that LocalStack, if it is what is asked for, can start.

    Raises:
        StackError: It has no token.
    """
    if "localstack" in environment.get("COMPOSE_PROFILES", "") and not environment.get("LOCALSTACK_AUTH_TOKEN"):
        raise StackError("LocalStack needs LOCALSTACK_AUTH_TOKEN, which its makers give to each user.")


def find_compose() -> Sequence[str]:
    """Return the command that Compose goes by on this machine.

    Raises:
        StackError: There is none, or no engine for it.
    """
    require_engine()
    if ask("compose", "version") is not None:
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    raise StackError("There is no Compose: neither `docker compose` nor docker-compose works.")


if __name__ == "__main__":
    sys.exit(main())
