"""``./taskw up`` and ``./taskw logs``, as a person at a terminal meets them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path
from shutil import rmtree

import httpx
import pytest

from stack import runs
from stack.aws import lambda_client
from stack.emulators import ministack
from stack.network import LOOPBACK, free_port, status_of, url_of
from stack.paths import ROOT

pytestmark = pytest.mark.long

_START_S = 60
_STOP_S = 30

_PROXIES = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
_NO_EXCEPTIONS = {"no_proxy": "", "NO_PROXY": ""}

StartUp = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start_up() -> Iterator[StartUp]:
    """Start ``up``, or another command, with these environment variables; what still runs after the test is ended."""
    with ExitStack() as stack:

        def start(module: str = "stack.up", **environment: str) -> subprocess.Popen[str]:
            process = subprocess.Popen(  # noqa: S603  # our own modules
                [sys.executable, "-m", module],
                cwd=ROOT,
                env={**os.environ, **environment},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


@pytest.fixture
def api_port() -> Iterator[int]:
    """Return a free port for the API, and clear away the logs of the runs with it."""
    port = free_port()
    yield port
    rmtree(runs.folder_of(port), ignore_errors=True)


def wait_until(condition: Callable[[], bool], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def wait_until_ready(up: subprocess.Popen[str], api_port: int, host: str = LOOPBACK) -> None:
    ready = f"{url_of(api_port, host)}/ready"
    wait_until(lambda: status_of(ready) == HTTPStatus.OK or up.poll() is not None, _START_S)
    assert up.poll() is None, up.communicate()


def descendants(pid: int) -> set[int]:
    """Return the processes below one."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    children = {int(child) for thread in threads for child in (thread / "children").read_text().split()}
    return children.union(*map(descendants, children))


def module_of(pid: int) -> str:
    """Return what `python -m NAME` runs, or the module of the application that hypercorn serves."""
    # Beside a Docker engine the emulator listens on a second address, and hypercorn serves it.
    _, _, arguments = Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").partition("\0-m\0")
    return arguments.removeprefix("hypercorn\0").partition("\0")[0].partition(".")[0]


def is_alive(pid: int) -> bool:
    """Return whether a process runs; one that has ended and waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads the process tree from /proc")
@pytest.mark.parametrize(
    ("stop_signal", "environment"),
    [(signal.SIGTERM, {}), (signal.SIGINT, {"HOST": "::1", **dict.fromkeys(_PROXIES, url_of(9)), **_NO_EXCEPTIONS})],
    ids=["usual", "on IPv6 behind a proxy"],
)
def test_up_serves_counts_and_stops_without_a_trace(
    start_up: StartUp, api_port: int, stop_signal: signal.Signals, environment: dict[str, str]
) -> None:
    """Counts come true in both counters; after the signal no process and no port is left, and the status is 0."""
    # given
    emulator_port = free_port()
    up = start_up(PORT=str(api_port), EMULATOR_PORT=str(emulator_port), **environment)
    host = environment.get("HOST", LOOPBACK)
    api = url_of(api_port, host)
    wait_until_ready(up, api_port, host)

    # when
    with httpx.Client(base_url=api) as client:
        account = client.post("/accounts", json={"username": "ada"}).raise_for_status().json()
        client.post("/services", json={"account_id": account["id"], "name": "engine"}).raise_for_status()

        def counter() -> dict[str, int]:
            counts = client.get(f"/counts/{account['id']}").raise_for_status().json()
            found: dict[str, int] = next(item for item in counts["items"] if item["name"] == "services")
            return found

        # then
        assert counter()["best_effort"] == 1
        wait_until(lambda: counter()["eventual"] == 1, 15)
    processes = descendants(up.pid)
    assert len(processes) >= 3  # emulator, its Lambda worker, API

    # when
    up.send_signal(stop_signal)

    # then
    output, errors = up.communicate(timeout=_STOP_S)
    assert (up.returncode, errors) == (0, "")
    assert f"{api}/swagger" in output
    assert not [pid for pid in processes if is_alive(pid)]
    assert not is_open(emulator_port)
    assert status_of(f"{api}/health") is None


@pytest.mark.parametrize("name", ["PORT", "EMULATOR_PORT"])
def test_a_taken_port_is_one_line_that_says_what_to_do(start_up: StartUp, name: str) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = str(taken.getsockname()[1])
        ports = {"PORT": str(free_port()), "EMULATOR_PORT": str(free_port()), name: port}

        output, errors = start_up(**ports).communicate(timeout=_STOP_S)

    assert output == ""
    assert errors.count("\n") == 1
    assert f"port {port} is taken" in errors
    assert f"{name}=" in errors


@pytest.mark.parametrize("port", ["http", "0", "65536", "-1", "8000.0"])
def test_a_port_that_is_none_is_one_line(start_up: StartUp, port: str) -> None:
    up = start_up(PORT=port)

    output, errors = up.communicate(timeout=_STOP_S)

    assert up.returncode == 1
    assert output == ""
    assert errors == f"up: PORT must be a port number from 1 to 65535, not '{port}'.\n"


@pytest.mark.skipif(sys.platform != "linux", reason="reads the process tree from /proc")
@pytest.mark.parametrize("victim", ["ministack", "api"])
def test_a_process_that_dies_ends_the_rest(start_up: StartUp, api_port: int, victim: str) -> None:
    """The message names what died and where its log is, the status is not 0, and nothing is left."""
    # given
    up = start_up(PORT=str(api_port), EMULATOR_PORT=str(free_port()))
    wait_until_ready(up, api_port)
    processes = descendants(up.pid)

    # when
    os.kill(next(pid for pid in processes if module_of(pid) == victim), signal.SIGKILL)

    # then
    _, errors = up.communicate(timeout=_STOP_S)
    assert up.returncode == 1
    assert "stopped by itself (exit code -9). Its log is " in errors
    assert not [pid for pid in processes if is_alive(pid)]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody tells children that their parent is gone")
def test_nothing_outlives_a_killed_up(start_up: StartUp, api_port: int) -> None:
    """SIGKILL leaves no time to stop anything; the kernel tells the children."""
    # given
    up = start_up(PORT=str(api_port), EMULATOR_PORT=str(free_port()))
    wait_until_ready(up, api_port)
    processes = descendants(up.pid)

    # when
    up.kill()

    # then
    wait_until(lambda: not [pid for pid in processes if is_alive(pid)], _STOP_S)


def test_an_emulator_that_runs_is_used_and_left_alone(start_up: StartUp, api_port: int, tmp_path: Path) -> None:
    """``AWS_ENDPOINT_URL`` names it; a second run finds all that the first one made, and does no harm."""
    port = free_port()
    with ministack(port, tmp_path / "ministack.log"):
        for _ in range(2):
            # given
            up = start_up(PORT=str(api_port), AWS_ENDPOINT_URL=url_of(port))
            wait_until_ready(up, api_port)
            functions = lambda_client(url_of(port))
            assert len(functions.list_functions()["Functions"]) == 1
            assert len(functions.list_event_source_mappings()["EventSourceMappings"]) == 1

            # when
            up.terminate()

            # then
            _, errors = up.communicate(timeout=_STOP_S)
            assert (up.returncode, errors) == (0, "")
            assert is_open(port)


@pytest.mark.parametrize("endpoint", [url_of(1), "nonsense"])
def test_an_emulator_that_cannot_be_reached_is_one_line(start_up: StartUp, api_port: int, endpoint: str) -> None:
    up = start_up(PORT=str(api_port), AWS_ENDPOINT_URL=endpoint)

    output, errors = up.communicate(timeout=_STOP_S)

    assert up.returncode == 1
    assert output == ""
    assert errors.count("\n") == 1
    assert endpoint in errors


def test_logs_follow_api_and_lambda_until_the_end(start_up: StartUp, api_port: int) -> None:
    """Each line is one event in JSON, and says which of the two it is from."""
    # given
    up = start_up(PORT=str(api_port), EMULATOR_PORT=str(free_port()))
    wait_until_ready(up, api_port)
    logs = start_up("stack.logs", PORT=str(api_port))
    with httpx.Client(base_url=url_of(api_port)) as client:
        account = client.post("/accounts", json={"username": "ada"}).raise_for_status().json()
        client.post("/services", json={"account_id": account["id"], "name": "engine"}).raise_for_status()

    # when
    copy = runs.folder_of(api_port) / "lambda.log"
    wait_until(lambda: copy.exists() and '"settled"' in copy.read_text(), 15)
    up.terminate()

    # then
    output, errors = logs.communicate(timeout=_STOP_S)
    events = [json.loads(line) for line in output.splitlines()]
    assert (logs.returncode, errors) == (0, "")
    assert {"account.created", "settled"} <= {event["event"] for event in events}
    assert {event["source"] for event in events} == {"api", "lambda"}


def test_logs_of_nothing_are_one_line(start_up: StartUp) -> None:
    logs = start_up("stack.logs", PORT=str(free_port()))

    output, errors = logs.communicate(timeout=_STOP_S)

    assert (logs.returncode, output, errors.count("\n")) == (1, "", 1)
    assert "./taskw up" in errors
