"""Count one thing through an API that runs, and take it away again: ``python -m deploy.smoke [URL]``.

Without an address it is the API of the ``up`` that runs with ``PORT`` (8000). It shows that the whole path works: load
balancer, API, table, stream and Lambda.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPException
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from stack import runs
from stack.errors import StackError
from stack.network import open_url, read_port
from stack.up import API_PORT

_ANSWER_TIMEOUT_S: Final = 10.0
_READY_TIMEOUT_S: Final = 120.0
"""A load balancer's name may be new to the resolver, and its targets to the load balancer."""

_READY_IN_A_ROW: Final = 10
"""Answers that are enough: an emulator's load balancer picks targets at random, also some that do not listen yet."""

_SETTLE_TIMEOUT_S: Final = 90.0
_POLL_S: Final = 0.5


class Address(NamedTuple):
    """Where an API is.

    Attributes:
        url: Where to connect to.
        host: The host name to ask for, when it differs from the address.
    """

    url: str
    host: str | None = None


class Timeouts(NamedTuple):
    """How long to wait.

    Attributes:
        ready_s: For the API to be ready, in seconds.
        settle_s: For the exact count, in seconds.
    """

    ready_s: float = _READY_TIMEOUT_S
    settle_s: float = _SETTLE_TIMEOUT_S


def smoke_test(address: Address, timeouts: Timeouts | None = None) -> float:
    """Make an account and a service in it, wait until it is settled, and delete both.

    Returns:
        Seconds from the answer to the create until ``eventual`` was there.

    Raises:
        StackError: Something did not work; the message says what.
    """
    timeouts = timeouts or Timeouts()
    if urlsplit(address.url).scheme not in {"http", "https"}:
        raise StackError(f"{address.url} is no address of an API: it begins with http:// or https://.")
    _wait_until_ready(address, timeouts.ready_s)
    account = _call(address, "POST", "/accounts", HTTPStatus.CREATED, {"username": "smoke-test"})["id"]
    try:
        body = {"account_id": account, "name": "smoke-test"}
        service = _call(address, "POST", "/services", HTTPStatus.CREATED, body)["id"]
        settled_s = _wait_until_settled(address, account, timeouts.settle_s)
        _call(address, "DELETE", f"/services/{service}?account_id={account}", HTTPStatus.NO_CONTENT)
    finally:
        # Takes along what is left in it.
        _call(address, "DELETE", f"/accounts/{account}", HTTPStatus.NO_CONTENT)
    return settled_s


def _wait_until_ready(address: Address, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    in_a_row = 0
    while in_a_row < _READY_IN_A_ROW:
        try:
            _call(address, "GET", "/ready", HTTPStatus.OK)
        except StackError as exc:
            if time.monotonic() > deadline:
                raise StackError(f"Not ready within {timeout_s:.0f} s. {exc}") from exc
            in_a_row = 0
            time.sleep(_POLL_S)
        else:
            in_a_row += 1


def _wait_until_settled(address: Address, account: str, timeout_s: float) -> float:
    started = time.monotonic()
    while True:
        (count,) = _call(address, "GET", f"/counts/{account}", HTTPStatus.OK)["items"]
        waited_s = time.monotonic() - started
        if count["best_effort"] != 1:
            raise StackError(f"One service was created, and best_effort is {count['best_effort']}.")
        if count["eventual"] == 1:
            return waited_s
        if waited_s > timeout_s:
            raise StackError(
                f"One service was created, and eventual is still {count['eventual']} after {timeout_s:.0f} s: "
                "the Lambda does not settle. Its log says why."
            )
        time.sleep(_POLL_S)


def _call(address: Address, method: str, path: str, expected: HTTPStatus, body: object = None) -> Any:  # noqa: ANN401  # JSON
    """Return the answer to a request.

    Raises:
        StackError: There was none, or one of another status.
    """
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **({"Host": address.host} if address.host else {})}
    where = f"{method} {address.url}{path}"
    try:
        request = urllib.request.Request(address.url + path, data, headers, method=method)  # noqa: S310  # as we are told
        with open_url(request, _ANSWER_TIMEOUT_S) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as exc:
        with exc:
            status, text = exc.code, exc.read()
    # An address that is none is a ValueError.
    except (OSError, HTTPException, ValueError) as exc:
        raise StackError(f"{where}: no answer ({exc}).") from exc
    if status != expected:
        raise StackError(f"{where}: {status} instead of {expected}: {text.decode(errors='replace')}")
    return json.loads(text) if text else None


def main(arguments: list[str]) -> int:
    """Do it and return the exit status."""
    try:
        settled_s = smoke_test(Address((arguments[0] if arguments else _find_api(os.environ)).rstrip("/")))
    except StackError as exc:
        print(f"smoke: {exc}", file=sys.stderr)
        return 1
    print(f"It counts: eventual followed {settled_s:.1f} s after the create.")
    return 0


def _find_api(environment: Mapping[str, str]) -> str:
    """Return the address of the API that runs on this machine.

    Raises:
        StackError: There is none, or another one is meant.
    """
    if environment.get("ENV") == "aws":
        raise StackError("Say with API_URL where the API is.")
    try:
        return runs.find(read_port(environment, "PORT", API_PORT)).api
    except StackError as exc:
        raise StackError(f"{exc} Or say with API_URL where the API is.") from exc


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
