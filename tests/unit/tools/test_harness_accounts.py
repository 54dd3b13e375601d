"""Accounts of a load test, against an API that answers what the test says."""

import httpx
import pytest

from stack.harness.accounts import AccountsClient, AccountsError, Counts


class Api:
    """Makes so many accounts and then refuses; deletes in parts and counts as the test says."""

    def __init__(self, accounts: int = 100, parts: int = 0) -> None:
        self.accounts: set[str] = set()
        self.counts: list[Counts] = []
        self.parts_left = parts
        self._left = accounts

    def __call__(self, request: httpx.Request) -> httpx.Response:
        account_id = request.url.path.rpartition("/")[2]
        if request.method == "DELETE":
            if self.parts_left:
                self.parts_left -= 1
                return httpx.Response(200, json={"deleted": 2500, "more": True})
            self.accounts.remove(account_id)
            return httpx.Response(204)
        if request.method == "GET":
            counts = self.counts.pop(0)
            return httpx.Response(200, json={"items": [{"value": counts.value, "eventual": counts.eventual}]})
        if not self._left:
            return httpx.Response(503, text="no more")
        self._left -= 1
        account_id = f"account-{self._left}"
        self.accounts.add(account_id)
        return httpx.Response(201, json={"id": account_id, "username": "load"})


def client(api: Api) -> AccountsClient:
    return AccountsClient("http://api.test", httpx.MockTransport(api))


def test_all_that_was_made_is_deleted() -> None:
    api = Api()
    accounts = client(api)
    account_ids = accounts.make(25, limit=10)
    assert api.accounts == set(account_ids)
    assert len(api.accounts) == 25
    accounts.delete(account_ids)
    assert api.accounts == set()


def test_a_deletion_in_parts_is_repeated_until_the_account_is_gone() -> None:
    api = Api(parts=2)
    accounts = client(api)
    accounts.delete(accounts.make(1, limit=10))
    assert (api.accounts, api.parts_left) == (set(), 0)


def test_when_not_all_can_be_made_none_is_left() -> None:
    api = Api(accounts=3)
    with pytest.raises(AccountsError, match=r"POST http://api\.test/accounts answered 503: no more"):
        client(api).make(5, limit=10)
    assert api.accounts == set()


def test_settling_waits_until_both_counters_agree() -> None:
    api, slept = Api(), list[float]()
    api.counts = [Counts(5, 0), Counts(5, 3), Counts(5, 5), Counts(5, 6)]
    assert client(api).settle("a", 30.0, slept.append) == Counts(5, 5)
    assert len(slept) == 2


def test_settling_has_an_end() -> None:
    api, slept = Api(), list[float]()
    api.counts = [Counts(5, 0)] * 100
    assert client(api).settle("a", 5.0, slept.append) == Counts(5, 0)
    assert sum(slept) == pytest.approx(5.0)


@pytest.mark.parametrize("answer", ["<html>", "{}", '{"id": 7}'])
def test_another_server_is_told_from_the_api(answer: str) -> None:
    accounts = AccountsClient("http://api.test", httpx.MockTransport(lambda _: httpx.Response(200, text=answer)))
    with pytest.raises(AccountsError, match="answered what this API would not"):
        accounts.make(1, limit=10)


def test_an_address_that_is_none_is_named() -> None:
    with pytest.raises(AccountsError, match="nonsense"):
        AccountsClient("nonsense").make(1, limit=10)
