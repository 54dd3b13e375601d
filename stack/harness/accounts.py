"""Accounts for loads and tests, made, looked at and deleted through the public API."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from http import HTTPStatus
from typing import Final, TypeVar

import httpx
import msgspec

UNLIMITED: Final = 10**9
_TIMEOUT_S: Final = 30.0
_POLL_S: Final = 0.25

T = TypeVar("T")


class AccountsError(Exception):
    """The API did not do what setting up or checking a load needs; the message says what."""


class Counts(msgspec.Struct, frozen=True):
    """The counter of an account.

    Attributes:
        value: Services that the limit is compared with.
        eventual: The exact counter.
    """

    value: int
    eventual: int


class _Account(msgspec.Struct, frozen=True):
    id: str


class _CountPage(msgspec.Struct, frozen=True):
    items: tuple[Counts]


class _DeletionPart(msgspec.Struct, frozen=True):
    deleted: int


class AccountsClient:
    """A client of the API that is not part of the load."""

    def __init__(self, host: str, transport: httpx.BaseTransport | None = None) -> None:
        """Make a client.

        Args:
            host: Address of the API.
            transport: How to reach it, if not over the network.
        """
        self._client = httpx.Client(base_url=host, timeout=_TIMEOUT_S, transport=transport)

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def make(self, number: int, limit: int = UNLIMITED, enforcement: str = "strict") -> list[str]:
        """Make a number of accounts and return their ids; the default limit is one that no load reaches.

        Raises:
            AccountsError: The API cannot be reached or refuses. What was made before is deleted.
        """
        made: list[str] = []
        new = {"username": "load", "max_number_of_services": limit, "enforcement": enforcement}
        try:
            made.extend(self._read("POST", "/accounts", _Account, new).id for _ in range(number))
        except AccountsError:
            self.delete(made)
            raise
        return made

    def delete(self, account_ids: Sequence[str]) -> None:
        """Delete accounts with all they have.

        Raises:
            AccountsError: Some could not be deleted; the others were.
        """
        failed: AccountsError | None = None
        for account_id in account_ids:
            try:
                # Each request deletes what it can in its time, and answers 204 when all is gone.
                while (answer := self._send("DELETE", f"/accounts/{account_id}")).status_code != HTTPStatus.NO_CONTENT:
                    _decode(answer, _DeletionPart)
            except AccountsError as error:
                failed = error
        if failed is not None:
            raise failed

    def counts(self, account_id: str) -> Counts:
        """Return an account's counter as it is now.

        Raises:
            AccountsError: The API cannot be reached or refuses.
        """
        (counts,) = self._read("GET", f"/counts/{account_id}", _CountPage).items
        return counts

    def settle(self, account_id: str, timeout_s: float, sleep: Callable[[float], None] = time.sleep) -> Counts:
        """Wait until the exact counter agrees with the value, and return the counter as it is then or at the end."""
        counts = self.counts(account_id)
        for _ in range(int(timeout_s / _POLL_S)):
            if counts.value == counts.eventual:
                break
            sleep(_POLL_S)
            counts = self.counts(account_id)
        return counts

    def _read(self, method: str, path: str, kind: type[T], body: Mapping[str, object] | None = None) -> T:
        return _decode(self._send(method, path, body), kind)

    def _send(self, method: str, path: str, body: Mapping[str, object] | None = None) -> httpx.Response:
        try:
            answer = self._client.request(method, path, json=body)
        # The second one: the address is none.
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise AccountsError(f"{self._client.base_url} cannot be used: {exc}") from exc
        if not answer.is_success:
            raise AccountsError(f"{method} {answer.url} answered {answer.status_code}: {answer.text[:200]}")
        return answer


def make_account(url: str, limit: int = UNLIMITED, enforcement: str = "strict") -> str:
    """Make one account and return its id; raises what ``AccountsClient.make`` does."""
    with closing(AccountsClient(url)) as client:
        (account_id,) = client.make(1, limit, enforcement)
    return account_id


def _decode(answer: httpx.Response, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.content, type=kind)
    except msgspec.DecodeError as exc:
        reason = f"{answer.request.method} {answer.url} answered what this API would not: {exc}"
        raise AccountsError(reason) from exc
