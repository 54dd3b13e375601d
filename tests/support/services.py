"""Services made and deleted from outside, through the API's processes."""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from stack.harness.accounts import make_account
from stack.harness.client import Answer, Request, send_all
from stack.harness.ledger import TableReader
from stack.system import System

CONNECTIONS: Final = 200


class RunningService(NamedTuple):
    """The API as one test uses it: an account of its own, all processes in turn."""

    urls: Sequence[str]
    account_id: str

    def create(self, number: int) -> Request:
        """Return the request that makes a service."""
        body = json.dumps({"account_id": self.account_id, "name": f"service {number}"})
        return Request("POST", f"{self.urls[number % len(self.urls)]}/services", body.encode())

    def delete(self, number: int, service_id: str) -> Request:
        """Return the request that deletes a service."""
        url = self.urls[number % len(self.urls)]
        return Request("DELETE", f"{url}/services/{service_id}?account_id={self.account_id}")


def seconds_until_settled(table: TableReader, account_id: str) -> float:
    """Wait until ``eventual`` is the number of entries, and return how long that took."""
    start = time.monotonic()
    total = len(table.entries(account_id))
    while table.counters(account_id).eventual != total:
        assert time.monotonic() - start < 60, f"{table.counters(account_id)} never became {total}"
        time.sleep(0.05)
    return time.monotonic() - start


def make_service(stack: System, limit: int) -> RunningService:
    """Make an account through the API."""
    return RunningService(stack.api_urls, make_account(stack.api_urls[0], limit))


def send(requests: Sequence[Request]) -> Sequence[Answer]:
    """Send all requests over this number of connections and return the answers."""
    return asyncio.run(send_all(requests, min(CONNECTIONS, len(requests)))).answers


def ids_of(answers: Sequence[Answer]) -> list[str]:
    """Return the ids of the services that were made."""
    return [json.loads(answer.body)["id"] for answer in answers if answer.status == 201]
