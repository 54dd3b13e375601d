"""The accounts of a load test, made, looked at and deleted through the public API."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Final, TypeVar

import httpx
import msgspec

UNLIMITED: Final = 10**9
_TIMEOUT_S: Final = 30.0
_AT_ONCE: Final = 10
_POLL_S: Final = 0.25

T = TypeVar("T")


class AccountsError(Exception):
    """The API did not do what setting up or checking a load test needs; the message says what."""


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


class Accounts:
    """A client of the API that is not part of the load."""

    def __init__(self, host: str, transport: httpx.BaseTransport | None = None) -> None:
        """Make a client.

        Args:
            host: Address of the API.
            transport: How to reach it, if not over the network.
        """
        self._client = httpx.Client(base_url=host, timeout=_TIMEOUT_S, transport=transport)

    def make(self, number: int, limit: int) -> list[str]:
        """Make so many accounts and return their ids.

        Raises:
            AccountsError: The API cannot be reached or refuses. What was made before is deleted.
        """
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            made = [pool.submit(self._make_one, limit) for _ in range(number)]
        try:
            return [one.result() for one in made]
        except AccountsError:
            self.delete([one.result() for one in made if one.exception() is None])
            raise

    def delete(self, account_ids: Sequence[str]) -> None:
        """Delete accounts with all they have.

        Raises:
            AccountsError: Some could not be deleted; the others were.
        """
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            gone = [pool.submit(self._delete_one, account_id) for account_id in account_ids]
        for one in gone:
            one.result()

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

    def _make_one(self, limit: int) -> str:
        new = {"username": "load", "max_number_of_services": limit}
        return self._read("POST", "/accounts", _Account, new).id

    def _delete_one(self, account_id: str) -> None:
        # Each request deletes what it can in its time, and answers 204 when all is gone.
        while (answer := self._send("DELETE", f"/accounts/{account_id}")).status_code != HTTPStatus.NO_CONTENT:
            _decode(answer, _DeletionPart)

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


def _decode(answer: httpx.Response, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.content, type=kind)
    except msgspec.DecodeError as exc:
        reason = f"{answer.request.method} {answer.url} answered what this API would not: {exc}"
        raise AccountsError(reason) from exc
