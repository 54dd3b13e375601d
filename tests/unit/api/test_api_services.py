"""The routes of services."""

import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from counters.entries import Entries
from counters.keys import SERVICES, CounterKey
from counters.model import Deletion
from tests.support.stores import WatchedStore

Api = AsyncTestClient[Litestar]


async def make_service(api: Api, account_id: str, **fields: str) -> dict[str, str]:
    response = await api.post("/services", json={"account_id": account_id, "name": "billing", **fields})
    assert response.status_code == 201, response.text
    service: dict[str, str] = response.json()
    return service


class TestCreate:
    """``POST /services``."""

    async def test_answers_with_the_service_and_where_it_is(self, api: Api, account_id: str) -> None:
        response = await api.post("/services", json={"account_id": account_id, "name": "billing"})
        service = response.json()
        assert response.status_code == 201
        assert service == {
            "id": service["id"],
            "account_id": account_id,
            "name": "billing",
            "created_at": "2026-09-21T14:13:20.000Z",
            "damaged": [],
        }
        assert response.headers["location"] == f"/services/{service['id']}?account_id={account_id}"
        assert response.headers["content-type"] == "application/json"
        assert (await api.get(response.headers["location"])).json() == service

    async def test_under_an_own_id_it_is_made_and_counted_once(
        self, api: Api, api_store: WatchedStore, account_id: str
    ) -> None:
        first = await api.post("/services", json={"account_id": account_id, "name": "billing", "id": "order-1"})
        again = await api.post("/services", json={"account_id": account_id, "name": "other", "id": "order-1"})
        assert (first.status_code, again.status_code) == (201, 200)
        assert again.json() == first.json()
        assert again.headers["location"] == first.headers["location"]
        await api.delete(f"/services/order-1?account_id={account_id}")
        assert api_store.counter(CounterKey(account_id, SERVICES)).best_effort == 0

    @pytest.mark.parametrize("own_id", [".a", "a.", "..-..", ":", "_", "-", "a" * 128, "." * 127 + "a"])
    async def test_an_id_may_have_dots_beside_something_else(self, api: Api, account_id: str, own_id: str) -> None:
        service = await make_service(api, account_id, id=own_id)
        assert (await api.get(f"/services/{own_id}?account_id={account_id}")).json() == service

    async def test_at_the_limit_it_is_a_conflict_that_tells_limit_and_value(self, api: Api, account_id: str) -> None:
        for _ in range(3):
            await make_service(api, account_id)
        response = await api.post("/services", json={"account_id": account_id, "name": "billing"})
        problem = response.json()
        assert response.status_code == 409
        assert response.headers["content-type"] == "application/problem+json"
        assert problem["type"].endswith(":limit-reached")
        assert (problem["limit"], problem["value"]) == (3, 3)

    async def test_a_delete_at_the_limit_makes_room_at_once(self, api: Api, account_id: str) -> None:
        services = [await make_service(api, account_id) for _ in range(3)]
        await api.delete(f"/services/{services[0]['id']}", params={"account_id": account_id})
        await make_service(api, account_id)

    async def test_takes_a_longest_name_with_every_character_escaped(self, api: Api, account_id: str) -> None:
        escaped = b"\\ud83d\\ude00" * 256
        body = b'{"account_id": "%s", "name": "%s"}' % (account_id.encode(), escaped)
        response = await api.post("/services", content=body)
        assert response.json()["name"] == "\N{GRINNING FACE}" * 256

    @pytest.mark.parametrize(
        "content_type", ["application/json", "application/json; charset=utf-8", "Application/JSON"]
    )
    async def test_takes_json_however_it_is_declared(self, api: Api, account_id: str, content_type: str) -> None:
        body = b'{"account_id": "%s", "name": "billing"}' % account_id.encode()
        response = await api.post("/services", content=body, headers={"content-type": content_type})
        assert response.status_code == 201


class TestOne:
    """``/services/{id}``."""

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    async def test_put_and_patch_rename(self, api: Api, account_id: str, method: str) -> None:
        service = await make_service(api, account_id)
        path = f"/services/{service['id']}?account_id={account_id}"
        response = await api.request(method, path, json={"name": "search"})
        assert response.status_code == 200
        assert response.json() == {**service, "name": "search"}
        assert (await api.get(path)).json() == response.json()

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    async def test_put_and_patch_take_back_what_get_gave(self, api: Api, account_id: str, method: str) -> None:
        service = await make_service(api, account_id)
        path = f"/services/{service['id']}?account_id={account_id}"
        response = await api.request(method, path, json=service)
        assert (response.status_code, response.json()) == (200, service)
        other = {"id": "other", "account_id": "other", "created_at": "2026-03-01T12:00:00.000Z"}
        refused = await api.request(method, path, json={"name": "search", **other})
        assert refused.status_code == 400
        assert [error["field"] for error in refused.json()["errors"]] == list(other)
        assert (await api.get(path)).json() == service

    async def test_delete_removes(self, api: Api, account_id: str) -> None:
        service = await make_service(api, account_id)
        path = f"/services/{service['id']}?account_id={account_id}"
        response = await api.delete(path)
        assert (response.status_code, response.content) == (204, b"")
        assert (await api.get(path)).json()["type"].endswith(":service-not-found")
        assert (await api.delete(path)).status_code == 404


class TestAll:
    """``/services?account_id=`` and ``/accounts/{id}/services``."""

    async def test_both_lists_hold_every_service_once(self, api: Api, account_id: str) -> None:
        made = [await make_service(api, account_id) for _ in range(3)]
        for path in (f"/services?account_id={account_id}&limit=2", f"/accounts/{account_id}/services?limit=2"):
            first = (await api.get(path)).json()
            second = (await api.get(f"{path}&cursor={first['next_cursor']}")).json()
            assert (len(first["items"]), len(second["items"]), second["next_cursor"]) == (2, 1, None)
            assert sorted(one["id"] for one in first["items"] + second["items"]) == sorted(one["id"] for one in made)

    async def test_delete_removes_all_and_makes_room(self, api: Api, account_id: str) -> None:
        for _ in range(3):
            await make_service(api, account_id)
        response = await api.delete(f"/accounts/{account_id}/services")
        assert (response.status_code, response.content) == (204, b"")
        assert (await api.get(f"/accounts/{account_id}/services")).json() == {"items": [], "next_cursor": None}
        await make_service(api, account_id)

    async def test_a_delete_of_too_many_says_how_many_went_and_is_repeated(
        self, api: Api, account_id: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        deletions = iter([Deletion(2500, more=True), Deletion(500, more=False)])

        async def delete_all(*_: object) -> Deletion:
            return next(deletions)

        monkeypatch.setattr(Entries, "delete_all", delete_all)
        first = await api.delete(f"/accounts/{account_id}/services")
        assert (first.status_code, first.json()) == (200, {"deleted": 2500, "more": True})
        last = await api.delete(f"/accounts/{account_id}/services")
        assert (last.status_code, last.content) == (204, b"")
