"""The smoke test tells a system that counts from one that does not, and leaves nothing behind."""

import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from deploy.smoke import Address, Timeouts, main, smoke_test
from stack import runs
from stack.errors import StackError
from stack.network import LOOPBACK, free_port, url_of
from stack.paths import ROOT

SHORT = Timeouts(ready_s=0.0, settle_s=0.0)
LONG = Timeouts(ready_s=30.0, settle_s=30.0)


class FakeApi(HTTPServer):
    """An API with one account, whose exact count comes with the second question."""

    def __init__(self) -> None:
        super().__init__((LOOPBACK, 0), _Handler)
        self.requests: list[str] = []
        self.hosts: set[str | None] = set()
        self.ready: list[int] = []
        self.best_effort = 1
        self.eventual = [0, 1]

    @property
    def url(self) -> str:
        """Where it serves."""
        return url_of(self.server_port)

    def answer(self, request: str) -> tuple[int, object]:
        """Return status and body."""
        self.requests.append(request)
        match request.split("?", maxsplit=1)[0]:
            case "GET /ready":
                return (self.ready.pop(0) if self.ready else 200), {}
            case "POST /accounts":
                return 201, {"id": "a1"}
            case "POST /services":
                return 201, {"id": "s1"}
            case "GET /counts/a1":
                eventual = self.eventual.pop(0) if len(self.eventual) > 1 else self.eventual[0]
                return 200, {"items": [{"best_effort": self.best_effort, "eventual": eventual}]}
            case "DELETE /services/s1" | "DELETE /accounts/a1":
                return 204, None
        return 404, {}


class _Handler(BaseHTTPRequestHandler):
    server: FakeApi

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.hosts.add(self.headers["Host"])
        status, body = self.server.answer(f"{self.command} {self.path}")
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815  # the base class names them

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def api() -> Iterator[FakeApi]:
    """Serve the fake."""
    with FakeApi() as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_it_counts_one_service_and_takes_everything_away(api: FakeApi) -> None:
    smoke_test(Address(api.url), LONG)
    assert [request for request in api.requests if request != "GET /ready"] == [
        "POST /accounts",
        "POST /services",
        "GET /counts/a1",
        "GET /counts/a1",
        "DELETE /services/s1?account_id=a1",
        "DELETE /accounts/a1",
    ]


def test_it_waits_until_every_target_of_a_load_balancer_is_ready(api: FakeApi) -> None:
    """The emulator's balancer picks targets at random, also those that do not listen yet."""
    api.ready = [200, 200, 502]
    smoke_test(Address(api.url), LONG)
    assert api.requests.index("POST /accounts") > 3


def test_it_asks_for_the_name_that_it_is_told(api: FakeApi) -> None:
    smoke_test(Address(api.url, "balancer.example.com"), LONG)
    assert api.hosts == {"balancer.example.com"}


def test_a_lambda_that_does_not_settle_is_found(api: FakeApi) -> None:
    api.eventual = [0]
    with pytest.raises(StackError, match="the Lambda does not settle"):
        smoke_test(Address(api.url), SHORT)
    assert api.requests[-1] == "DELETE /accounts/a1"


def test_a_wrong_count_is_found(api: FakeApi) -> None:
    api.best_effort = 2
    with pytest.raises(StackError, match="One service was created, and best_effort is 2"):
        smoke_test(Address(api.url), LONG)
    assert api.requests[-1] == "DELETE /accounts/a1"


def test_an_api_that_never_gets_ready_is_given_up(api: FakeApi) -> None:
    api.ready = [503] * 1_000
    with pytest.raises(StackError, match=r"Not ready within 0 s\. GET .*/ready: 503 instead of 200"):
        smoke_test(Address(api.url), SHORT)


@pytest.mark.parametrize("url", ["localhost", "127.0.0.1:8000", "ftp://localhost"])
def test_what_is_no_address_is_told_at_once(url: str) -> None:
    with pytest.raises(StackError, match=f"^{url} is no address of an API: it begins with http:// or https://.$"):
        smoke_test(Address(url), LONG)


def test_an_address_where_nobody_answers_is_told() -> None:
    url = url_of(free_port())
    with pytest.raises(StackError, match=f"GET {url}/ready: no answer"):
        smoke_test(Address(url), SHORT)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "Nothing runs with PORT=9. Start it with ./taskw up. Or say with API_URL where the API is."),
        ({"ENV": "aws"}, "Say with API_URL where the API is."),
    ],
)
def test_no_api_is_one_line_and_an_exit_code(environment: dict[str, str], said: str) -> None:
    command = [sys.executable, "-m", "deploy.smoke"]
    answer = subprocess.run(  # noqa: S603  # ours
        command, cwd=ROOT, env={"PORT": "9", **environment}, capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stderr) == (1, f"smoke: {said}\n")


def test_without_an_address_it_finds_the_api_that_runs(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(runs, "LOGS", tmp_path)
    monkeypatch.setenv("PORT", "8123")
    with runs.locked(8123):
        runs.record(8123, runs.Run(api.url, "http://emulator", "table", "us-east-1"))
        assert main([]) == 0
    assert "POST /services" in api.requests
