"""The routes of accounts."""

import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from tests.support.stores import WatchedStore

Api = AsyncTestClient[Litestar]


class TestAccountCreate:
    """``POST /accounts``."""

    async def test_answers_with_the_account_and_where_it_is(self, api: Api) -> None:
        response = await api.post("/accounts", json={"username": "ada", "max_number_of_services": 7})
        account = response.json()
        assert response.status_code == 201
        assert account == {
            "id": account["id"],
            "username": "ada",
            "number_of_services": 0,
            "max_number_of_services": 7,
            "enforcement": "strict",
            "created_at": "2026-09-21T14:13:20.000Z",
            "damaged": [],
        }
        assert response.headers["location"] == f"/accounts/{account['id']}"
        assert (await api.get(response.headers["location"])).json() == account

    async def test_the_default_limit_is_5000(self, api: Api) -> None:
        response = await api.post("/accounts", json={"username": "ada"})
        assert response.json()["max_number_of_services"] == 5000

    async def test_takes_the_longest_username_in_any_script(self, api: Api) -> None:
        username = "\N{DROMEDARY CAMEL}" * 128
        response = await api.post("/accounts", json={"username": username})
        assert response.json()["username"] == username

    async def test_takes_the_smallest_and_the_largest_limit(self, api: Api) -> None:
        for limit in (0, 10**12):
            response = await api.post("/accounts", json={"username": "ada", "max_number_of_services": limit})
            assert response.json()["max_number_of_services"] == limit

    @pytest.mark.parametrize("number", [b"5.0", b"5", b"5e0", b"0.5e1", b"50E-1", b"5.000000000000000000000000000"])
    async def test_takes_a_whole_number_however_it_is_written(self, api: Api, number: bytes) -> None:
        response = await api.post("/accounts", content=b'{"username": "ada", "max_number_of_services": %s}' % number)
        assert (response.status_code, response.json()["max_number_of_services"]) == (201, 5)

    async def test_the_last_of_duplicate_keys_counts(self, api: Api) -> None:
        response = await api.post("/accounts", content=b'{"username": "ada", "username": "grace"}')
        assert response.json()["username"] == "grace"


class TestRead:
    """``GET /accounts/{id}``."""

    async def test_counts_the_services_at_once(self, api: Api, account_id: str) -> None:
        for name in ("billing", "search"):
            await api.post("/services", json={"account_id": account_id, "name": name})
        assert (await api.get(f"/accounts/{account_id}")).json()["number_of_services"] == 2


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
class TestUpdate:
    """``PUT`` and ``PATCH`` of ``/accounts/{id}`` mean the same."""

    async def test_changes_only_what_is_given(self, api: Api, account_id: str, method: str) -> None:
        renamed = await api.request(method, f"/accounts/{account_id}", json={"username": "grace"})
        assert renamed.status_code == 200
        assert (renamed.json()["username"], renamed.json()["max_number_of_services"]) == ("grace", 3)
        limited = await api.request(method, f"/accounts/{account_id}", json={"max_number_of_services": 0})
        assert (limited.json()["username"], limited.json()["max_number_of_services"]) == ("grace", 0)

    async def test_takes_back_what_get_gave(self, api: Api, account_id: str, method: str) -> None:
        await api.post("/services", json={"account_id": account_id, "name": "billing"})
        account = (await api.get(f"/accounts/{account_id}")).json()
        response = await api.request(method, f"/accounts/{account_id}", json=account)
        assert (response.status_code, response.json()) == (200, account)
        changed = await api.request(method, f"/accounts/{account_id}", json={**account, "username": "grace"})
        assert (changed.status_code, changed.json()) == (200, {**account, "username": "grace"})

    async def test_a_read_only_field_alone_changes_nothing(self, api: Api, account_id: str, method: str) -> None:
        account = (await api.get(f"/accounts/{account_id}")).json()
        response = await api.request(method, f"/accounts/{account_id}", json={"id": account_id})
        assert (response.status_code, response.json()) == (200, account)

    async def test_names_every_read_only_field_that_is_changed(self, api: Api, account_id: str, method: str) -> None:
        account = (await api.get(f"/accounts/{account_id}")).json()
        other = {"id": "other", "number_of_services": 7, "created_at": "2026-03-01T12:00:00.000Z", "username": "grace"}
        response = await api.request(method, f"/accounts/{account_id}", json={**account, **other})
        assert response.status_code == 400
        errors = {error["field"]: error["reason"] for error in response.json()["errors"]}
        assert errors == {
            name: f"cannot be changed, and is {account[name]} now; leave it out"
            for name in ("id", "number_of_services", "created_at")
        }
        assert (await api.get(f"/accounts/{account_id}")).json() == account

    async def test_does_not_ask_for_text_where_a_number_cannot_be_changed(
        self, api: Api, account_id: str, method: str
    ) -> None:
        bad = {"number_of_services": "0", "damaged": None, "created_at": 5, "id": 5}
        response = await api.request(method, f"/accounts/{account_id}", json=bad)
        errors = {error["field"]: error["reason"] for error in response.json()["errors"]}
        assert errors == dict.fromkeys(bad, "cannot be changed; leave it out")

    async def test_changes_how_the_limit_is_kept(self, api: Api, account_id: str, method: str) -> None:
        for wanted, shown in (("hybrid", "hybrid"), ("strict", "tightening"), ("hybrid", "hybrid")):
            response = await api.request(method, f"/accounts/{account_id}", json={"enforcement": wanted})
            assert (response.status_code, response.json()["enforcement"]) == (200, shown)
            assert (await api.get(f"/accounts/{account_id}")).json() == response.json()
            assert (await api.get(f"/counts/{account_id}")).json()["items"][0]["enforcement"] == shown
            again = await api.request(method, f"/accounts/{account_id}", json=response.json())
            assert (again.status_code, again.json()) == (200, response.json())

    async def test_on_the_way_to_strict_a_create_is_asked_to_come_back(
        self, api: Api, account_id: str, method: str
    ) -> None:
        for wanted in ("hybrid", "strict"):
            await api.request(method, f"/accounts/{account_id}", json={"enforcement": wanted})
        response = await api.post("/services", json={"account_id": account_id, "name": "billing"})
        assert (response.status_code, response.headers["retry-after"]) == (503, "30")

    async def test_a_new_limit_holds_for_the_next_service(self, api: Api, account_id: str, method: str) -> None:
        await api.request(method, f"/accounts/{account_id}", json={"max_number_of_services": 0})
        response = await api.post("/services", json={"account_id": account_id, "name": "billing"})
        assert response.status_code == 409


class TestAccountDelete:
    """``DELETE /accounts/{id}``."""

    async def test_takes_counters_and_services_along(self, api: Api, api_store: WatchedStore, account_id: str) -> None:
        await api.post("/services", json={"account_id": account_id, "name": "billing"})
        response = await api.delete(f"/accounts/{account_id}")
        assert (response.status_code, response.content) == (204, b"")
        assert (await api.get(f"/accounts/{account_id}")).status_code == 404
        assert not api_store._counters
        assert not any(api_store._ledgers.values())


class TestList:
    """``GET /accounts``."""

    async def test_pages_hold_every_account_once(self, api: Api) -> None:
        made = [(await api.post("/accounts", json={"username": f"user {n}"})).json() for n in range(5)]
        first = (await api.get("/accounts", params={"limit": 3})).json()
        second = (await api.get("/accounts", params={"limit": 3, "cursor": first["next_cursor"]})).json()
        assert len(first["items"]) == 3
        assert second["next_cursor"] is None
        assert sorted(one["id"] for one in first["items"] + second["items"]) == sorted(one["id"] for one in made)
