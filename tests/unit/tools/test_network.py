"""Servers on this machine are found where they listen, and through no proxy."""

import http.server
import socket
from collections.abc import Iterator
from http import HTTPStatus
from threading import Thread

import httpx
import pytest
import requests

from deploy.smoke import Address, Timeouts, smoke_test
from stack.aws import dynamodb_client
from stack.errors import StackError
from stack.network import has_proxy, is_loopback, require_free, spare_loopback, status_of, url_of
from stack.up import choose_emulator

NOBODY = "http://127.0.0.1:9"


class _Server(http.server.HTTPServer):
    """Answers every GET and POST with an empty object."""

    def __init__(self, host: str) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, 0), _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_POST = _answer  # noqa: N815  # the base class names them

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(params=["127.0.0.1", "::1"])
def url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve behind an environment that sends everybody to a proxy where nobody is; yields the address."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, NOBODY)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with _Server(request.param) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield url_of(server.server_port, request.param)
        server.shutdown()
        thread.join()


def test_no_proxy_is_asked_for_a_status(url: str) -> None:
    assert status_of(url) == HTTPStatus.OK


def test_no_proxy_is_asked_by_the_smoke_test(url: str) -> None:
    with pytest.raises(StackError, match=r"POST .*/accounts: 200 instead of 201"):
        smoke_test(Address(url), Timeouts(ready_s=0.0))


def test_no_proxy_is_asked_for_an_emulator(url: str) -> None:
    client = dynamodb_client(url)
    assert client.list_tables().get("TableNames", []) == []
    client.close()


def test_what_is_started_asks_no_proxy_either(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clients of tests and load go by ``NO_PROXY``."""
    environment: dict[str, str] = {}
    spare_loopback(environment)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert httpx.get(url).status_code == HTTPStatus.OK
    assert requests.get(url, timeout=10).status_code == HTTPStatus.OK


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({}, "localhost,127.0.0.1,::1,localhost.localstack.cloud"),
        ({"NO_PROXY": "a.example"}, "a.example,localhost,127.0.0.1,::1,localhost.localstack.cloud"),
        ({"no_proxy": "::1,b.example"}, "::1,b.example,localhost,127.0.0.1,localhost.localstack.cloud"),
        ({"no_proxy": "*"}, "*"),
    ],
)
def test_loopback_is_added_to_what_goes_through_no_proxy(named: dict[str, str], expected: str) -> None:
    environment = dict(named)
    for _ in range(2):
        spare_loopback(environment)
        assert environment == {"NO_PROXY": expected, "no_proxy": expected}


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),  # noqa: S104  # the case itself
        ("192.0.2.7", "http://192.0.2.7:80"),
        ("::", "http://[::1]:80"),
        ("::1", "http://[::1]:80"),
        ("api.example", "http://api.example:80"),
    ],
)
def test_a_caller_reaches_a_server_by_an_address_that_can_be_called(host: str, expected: str) -> None:
    assert url_of(80, host) == expected


@pytest.mark.parametrize(
    ("host", "answer"),
    [("localhost", True), ("LOCALHOST", True), ("127.0.0.9", True), ("::1", True), ("192.0.2.7", False), ("", False)],
)
def test_loopback_is_told_from_other_hosts(host: str, answer: bool) -> None:  # noqa: FBT001  # a case
    assert is_loopback(host) is answer


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::"])
def test_a_taken_port_is_found_at_the_address_that_it_is_taken_at(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StackError, match=f"The API: port {port} is taken"):
            require_free(port, "The API", "", host)


@pytest.mark.parametrize(("name", "answer"), [("HTTP_PROXY", True), ("all_proxy", True), ("HTTPS_PROXY", False)])
def test_a_proxy_for_http_is_noticed(name: str, answer: bool) -> None:  # noqa: FBT001  # a case
    assert has_proxy({name: NOBODY}) is answer


def test_a_host_that_is_no_address_is_named() -> None:
    with pytest.raises(StackError, match=r"'nowhere\.invalid' is no address of this machine\. Set HOST"):
        require_free(0, "The API", "", "nowhere.invalid")


def test_the_emulator_and_the_api_need_different_ports() -> None:
    with pytest.raises(StackError, match="PORT and EMULATOR_PORT are both 8123"):
        choose_emulator({"EMULATOR_PORT": "8123"}, 8123)
