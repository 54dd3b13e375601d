"""The running system: emulator, everything provisioned in it, and API processes."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Final, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from stack import aws
from stack.emulators import ministack
from stack.errors import StackError
from stack.network import LOOPBACK, status_of, url_of
from stack.processes import ChildProcess, Program, running
from stack.provision import Provisioned, provision

DEFAULT_TABLE: Final = "distributed-counter"

_READY_TIMEOUT_S: Final = 30.0
LOCAL: Final = {"HEAL_AFTER_S": "15", "OWN_IDS_IN_BATCHES": "false"}
"""Settings that fit an emulator on this machine: no request is late for minutes, and PartiQL may miss the stream."""

# An operation that is under way has 5 s to end, and the process then closes what it has open.
_API_GRACE_S: Final = 15.0


class SystemSettings(NamedTuple):
    """What to run.

    Attributes:
        emulator: Port to start an emulator on, or the address of one that runs.
        api_ports: Where to start an API process each.
        table: Name of the table.
        logs: Folder for the processes' output.
        host: Address that the API listens on.
        say: Is told what is being done.
    """

    emulator: int | str
    api_ports: Sequence[int]
    table: str
    logs: Path
    host: str = LOOPBACK
    say: Callable[[str], None] = lambda _: None


class System(NamedTuple):
    """What runs.

    Attributes:
        endpoint: Address of the emulator.
        provisioned: What was made in it.
        api_urls: Addresses of the API processes.
        children: All processes that were started.
    """

    endpoint: str
    provisioned: Provisioned
    api_urls: tuple[str, ...]
    children: tuple[ChildProcess, ...]


@contextmanager
def running_system(settings: SystemSettings) -> Iterator[System]:
    """Start everything in order, and at the end stop it in the opposite order: the API drains while it has a table.

    Yields:
        The system, ready to serve.

    Raises:
        StackError: Something did not start.
    """
    with ExitStack() as stack:
        children = []
        if isinstance(settings.emulator, int):
            settings.say("Starting the emulator ...")
            endpoint = url_of(settings.emulator)
            children.append(stack.enter_context(ministack(settings.emulator, settings.logs / "ministack.log")))
        else:
            endpoint = settings.emulator
        provisioned = provision_emulator(endpoint, settings.table, settings.say)
        settings.say("Starting the API ...")
        programs = {
            port: api_program(["api"], port, endpoint, settings.table, settings.logs, settings.host)
            for port in settings.api_ports
        }
        # All at once, then wait: together they are ready as soon as one alone.
        apis = {port: stack.enter_context(running(program)) for port, program in programs.items()}
        for port, api in apis.items():
            wait_for_api(api, port, settings.host)
        urls = tuple(url_of(port, settings.host) for port in apis)
        yield System(endpoint, provisioned, urls, (*children, *apis.values()))


def provision_emulator(endpoint: str, table: str, say: Callable[[str], None]) -> Provisioned:
    """Make the table, the Lambda and the rest in an emulator, and report each step.

    Raises:
        StackError: Nobody answers there, or not as AWS would.
    """
    try:
        # Where nobody answers, the error alone is said.
        if status_of(endpoint) is not None:
            say("Making table, queue and Lambda in the emulator ...")
        return provision(endpoint, table, say)
    # boto3 raises the last one for an address that is none.
    except (BotoCoreError, ClientError, ValueError) as exc:
        raise StackError(f"The emulator at {endpoint} cannot be used: {exc}") from exc


def api_program(  # noqa: PLR0913, PLR0917  # each is a setting of the process
    module: Sequence[str], port: int, endpoint: str, table: str, logs: Path, host: str = LOOPBACK
) -> Program:
    """Return an API process on an emulator; the module is ``api`` or one that wraps it, with its arguments."""
    environment = {
        **LOCAL,
        **aws.without_aws(),
        **aws.environment(endpoint),
        "HOST": host,
        "PORT": str(port),
        "TABLE_NAME": table,
    }
    log = logs / f"api-{port}.log"
    return Program(f"The API on port {port}", [sys.executable, "-m", *module], environment, log, _API_GRACE_S)


def wait_for_api(api: ChildProcess, port: int, host: str = LOOPBACK) -> None:
    """Return when an API process serves.

    Raises:
        StackError: It ended first, or the time ran out.
    """
    api.wait_until(lambda: status_of(f"{url_of(port, host)}/ready") == HTTPStatus.OK, _READY_TIMEOUT_S)
