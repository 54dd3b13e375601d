"""The routes of counters."""

from litestar import Litestar
from litestar.testing import AsyncTestClient

from counters.keys import SERVICES, CounterKey
from counters.settlement import Settlement
from tests.support import factories
from tests.support.stores import WatchedStore

Api = AsyncTestClient[Litestar]


async def test_a_fresh_counter_has_not_settled(api: Api, account_id: str) -> None:
    await api.post("/services", json={"account_id": account_id, "name": "billing"})
    response = await api.get(f"/counts/{account_id}")
    assert response.status_code == 200
    assert response.json() == {
        "items": [
            {
                "account_id": account_id,
                "name": "services",
                "value": 1,
                "best_effort": 1,
                "eventual": 0,
                "limit": 3,
                "remaining": 2,
                "drift": 1,
                "enforcement": "strict",
                "settled_at": None,
                "healed_at": None,
                "damaged": [],
            }
        ],
        "next_cursor": None,
    }


async def test_a_settled_counter_has_no_drift(api: Api, api_store: WatchedStore, account_id: str) -> None:
    await api.post("/services", json={"account_id": account_id, "name": "billing"})
    at_ms = factories.NOW_MS + 123
    settlement = Settlement(shard="shard-0", first=1, last=1, delta=1, at_ms=at_ms)
    await api_store.settle(CounterKey(account_id, SERVICES), settlement)
    count = (await api.get(f"/counts/{account_id}")).json()["items"][0]
    assert (count["eventual"], count["drift"]) == (1, 0)
    assert count["settled_at"] == "2026-09-21T14:13:20.123Z"


async def test_a_healed_counter_tells_when(api: Api, api_store: WatchedStore, account_id: str) -> None:
    await api_store.heal_counter(CounterKey(account_id, SERVICES), factories.healing(0, revision=0))
    count = (await api.get(f"/counts/{account_id}")).json()["items"][0]
    assert count["healed_at"] == "2026-09-21T14:14:20.000Z"


async def test_the_list_pages_over_all_accounts(api: Api) -> None:
    made = [(await api.post("/accounts", json={"username": "ada"})).json()["id"] for _ in range(3)]
    first = (await api.get("/counts?limit=2")).json()
    second = (await api.get(f"/counts?limit=2&cursor={first['next_cursor']}")).json()
    assert sorted(one["account_id"] for one in first["items"] + second["items"]) == sorted(made)
    assert second["next_cursor"] is None
