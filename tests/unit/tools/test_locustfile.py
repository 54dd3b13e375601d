"""The load test as a program, against a server that misbehaves; gevent patches what it is loaded into, so not here."""

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import pytest

from stack.network import LOOPBACK, url_of
from stack.paths import ROOT

_TIMEOUT_S = 60


class StallingServer(ThreadingHTTPServer):
    """An API without limits, which can stall and refuse."""

    daemon_threads = True
    # The default of 5 would make connections wait that come at once.
    request_queue_size = 100

    def __init__(self) -> None:
        super().__init__((LOOPBACK, 0), Handler)
        self.lock = threading.Lock()
        self.answered: Counter[str] = Counter()
        self.stall_at: int | None = None
        self.stall_s = 0.0
        self.create_status = 201
        self.counts_status = 200


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    server: StallingServer

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(201 if self.path == "/accounts" else self.server.create_status, {"id": "some-id"})

    def do_DELETE(self) -> None:
        self._answer(204, None)

    def do_GET(self) -> None:
        created = self.server.answered["POST /services"]
        self._answer(self.server.counts_status, {"items": [{"value": created, "eventual": created}]})

    def _answer(self, status: int, body: object) -> None:
        request = f"{self.command} {self.path.partition('?')[0]}"
        # Who stalls holds the lock, so that all others stall along with it.
        with self.server.lock:
            if request == "POST /services" and self.server.answered[request] == self.server.stall_at:
                time.sleep(self.server.stall_s)
            self.server.answered[request] += 1
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        if body is not None:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[StallingServer]:
    """Return a server that runs."""
    with StallingServer() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


class LocustOutcome(NamedTuple):
    """What a load test said.

    Attributes:
        status: Exit status.
        output: Standard output.
        log: Standard error.
    """

    status: int
    output: str
    log: str

    def lines(self, beginning: str) -> list[str]:
        """Return the rest of each line of the log that has this in it."""
        return [line.partition(beginning)[2] for line in self.log.splitlines() if beginning in line]


def run_locust(*arguments: str) -> LocustOutcome:
    locust = [sys.executable, "-m", "locust", "-f", str(ROOT / "load" / "locust" / "locustfile.py"), "--headless"]
    done = subprocess.run(  # noqa: S603  # our own load test
        [*locust, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
    )
    return LocustOutcome(done.returncode, done.stdout, done.stderr)


def test_a_stalled_server_cannot_hide(server: StallingServer) -> None:
    """50 a second over two connections, and nobody is answered for a second: about 50 callers noticed, not two."""
    server.stall_at, server.stall_s = 20, 1.0

    outcome = run_locust("--host", url_of(server.server_port), "-t", "2", "-u", "2", "--rate", "50", "--json")

    (creates,) = [row for row in json.loads(outcome.output) if row["name"] == "create"]
    slow = sum(number for latency_ms, number in creates["response_times"].items() if float(latency_ms) >= 100)
    assert slow >= 40
    assert outcome.status == 1
    assert outcome.lines("FAILED: p99 of create is ")
    assert server.answered["POST /services"] == server.answered["DELETE /services/some-id"] == creates["num_requests"]
    assert server.answered["DELETE /accounts/some-id"] == 1


def test_a_limit_that_is_passed_fails_the_burst(server: StallingServer) -> None:
    outcome = run_locust(
        "--host", url_of(server.server_port), "-u", "10", "--burst", "50", "--limit", "20", "BurstUser"
    )
    assert outcome.status == 1
    assert outcome.lines("FAILED: ") == [
        "50 creates succeeded where the limit is 20",
        "the counter is 50 where the limit is 20",
        "the exact counter is 50 after 30 s where the limit is 20",
    ]


def test_accounts_are_deleted_also_when_they_cannot_be_checked(server: StallingServer) -> None:
    server.counts_status = 503
    outcome = run_locust(
        "--host", url_of(server.server_port), "-u", "10", "--burst", "50", "--limit", "49", "BurstUser"
    )
    assert outcome.status == 1
    assert "/counts/some-id answered 503" in outcome.lines("FAILED: ")[-1]
    assert server.answered["DELETE /accounts/some-id"] == 1


@pytest.mark.parametrize("status", [409, 503])
def test_whoever_is_refused_with_room_left_has_met_an_error(server: StallingServer, status: int) -> None:
    server.create_status = status
    # Three seconds: on a busy machine Locust has not begun after one.
    outcome = run_locust("--host", url_of(server.server_port), "-t", "3", "-u", "2", "--rate", "20")
    assert outcome.status == 1
    assert outcome.lines("FAILED: ") == ["100.00% of all requests failed, over 0.00%"], outcome.log
    assert f"answered {status}" in outcome.log + outcome.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rate", "0"], "--rate must be a number from 0.1 to 100000, not 0.0."),
        (["ClassicUser", "ZipfUser"], "Choose one user class: a run has one schedule."),
        ([], "cannot be used: "),
    ],
)
def test_a_run_that_cannot_begin_is_one_line(arguments: list[str], message: str) -> None:
    outcome = run_locust("--host", "http://127.0.0.1:1", *arguments)
    assert outcome.status == 1
    (line,) = outcome.lines("ERROR")
    assert message in line
    assert "Traceback" not in outcome.log


@pytest.mark.parametrize("arguments", [["--rate", "fast"], ["-t", "-5"]])
def test_what_is_no_number_is_refused_at_once(arguments: list[str]) -> None:
    outcome = run_locust("--host", "http://127.0.0.1:1", *arguments)
    assert outcome.status == 2
    assert arguments[0] in outcome.log.splitlines()[-1]


def test_several_processes_are_refused() -> None:
    outcome = run_locust("--host", "http://127.0.0.1:1", "--master")
    assert outcome.status == 1
    assert "This load test runs in one process" in outcome.log


def test_the_web_ui_offers_our_options() -> None:
    """And nothing else that Locust would not: only what is added to its parser itself gets there."""
    program = (
        "import load.locust.locustfile; from locust.argument_parser import ui_extra_args_dict as ui; print(*ui([]))"
    )
    done = subprocess.run(  # noqa: S603  # our own load test
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True
    )
    scenario = {"rate", "burst", "limit", "accounts", "zipf_exponent"}
    assert set(done.stdout.split()) == scenario | {"check_p99_ms", "check_error_share", "check_rate_share"}
