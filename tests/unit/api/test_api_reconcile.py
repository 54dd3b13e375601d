"""The route that recounts a counter and sets it right."""

import msgspec
import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from counters.keys import SERVICES, CounterKey
from tests.support import factories
from tests.support.healing import Stream
from tests.support.stores import Fault, WatchedStore

Api = AsyncTestClient[Litestar]

QUIET_MS = 15_000
SETTLED_MS = 900_000
NOW = "2026-09-21T14:13:20.000Z"


@pytest.fixture
async def path(api: Api, account_id: str) -> str:
    """Return the route of a counter with two services."""
    for name in ("billing", "search"):
        await api.post("/services", json={"account_id": account_id, "name": name})
    return f"/accounts/{account_id}/counters/services/reconcile"


def set_counter(store: WatchedStore, path: str, *, untouched_ms: int, best_effort: int, eventual: int) -> CounterKey:
    """Let the counter be as faults may have left it, untouched for so long; return its key."""
    key = CounterKey(path.split("/")[2], SERVICES)
    store._counters[key] = msgspec.structs.replace(
        store.counter(key),
        best_effort=best_effort,
        eventual=eventual,
        touched_at_ms=factories.NOW_MS - untouched_ms,
    )
    return key


async def test_a_quiet_counter_is_healed(api: Api, api_store: WatchedStore, path: str, account_id: str) -> None:
    set_counter(api_store, path, untouched_ms=QUIET_MS, best_effort=3, eventual=1)
    response = await api.post(path)
    assert response.status_code == 200
    assert response.json() == {
        "account_id": account_id,
        "name": "services",
        "ledger": 2,
        "damaged_services": 0,
        "dry_run": False,
        "healed": True,
        "damaged": [],
        "repair": None,
        "before": {"best_effort": 3, "eventual": 1, "drift": 2},
        "after": {"best_effort": 2, "eventual": 1, "drift": 1},
        "healed_at": NOW,
    }
    count = (await api.get(f"/counts/{account_id}")).json()["items"][0]
    assert (count["value"], count["eventual"], count["healed_at"]) == (2, 1, NOW)


@pytest.mark.parametrize("untouched_ms", [0, QUIET_MS, SETTLED_MS])
@pytest.mark.parametrize("query", ["?dry_run=true", "?dry_run=1", "?dry_run=true&force=true"])
async def test_a_dry_run_tells_the_truth_and_changes_nothing(
    api: Api, api_store: WatchedStore, path: str, query: str, untouched_ms: int
) -> None:
    set_counter(api_store, path, untouched_ms=untouched_ms, best_effort=3, eventual=1)
    counters = dict(api_store._counters)
    response = await api.post(path + query)
    seen = {"best_effort": 3, "eventual": 1, "drift": 2}
    found = response.json()
    assert response.status_code == 200
    assert (found["ledger"], found["before"], found["after"]) == (2, seen, seen)
    assert (found["dry_run"], found["healed"], found["healed_at"]) == (True, False, None)
    assert api_store._counters == counters


@pytest.mark.parametrize(
    ("query", "untouched_ms"), [("", QUIET_MS), ("?force=false", QUIET_MS), ("?force=0", SETTLED_MS - 1)]
)
async def test_the_exact_counter_is_left_alone_while_the_stream_may_bring_more(
    api: Api, api_store: WatchedStore, path: str, query: str, untouched_ms: int
) -> None:
    set_counter(api_store, path, untouched_ms=untouched_ms, best_effort=3, eventual=1)
    assert (await api.post(path + query)).json()["after"] == {"best_effort": 2, "eventual": 1, "drift": 1}


@pytest.mark.parametrize(("query", "untouched_ms"), [("?force=true", QUIET_MS), ("", SETTLED_MS)])
async def test_the_exact_counter_is_recounted_by_force_or_when_the_stream_is_surely_through(
    api: Api, api_store: WatchedStore, path: str, query: str, untouched_ms: int
) -> None:
    key = set_counter(api_store, path, untouched_ms=untouched_ms, best_effort=3, eventual=1)
    stream = Stream(api_store, key)
    stream.record()
    stream.pending.clear()
    assert (await api.post(path + query)).json()["after"]["best_effort"] == 2
    await stream.settle()
    count = (await api.get(f"/counts/{key.account_id}")).json()["items"][0]
    assert (count["best_effort"], count["eventual"], count["drift"]) == (2, 2, 0)


@pytest.mark.parametrize("query", ["", "?force=true"])
async def test_a_counter_in_use_is_refused_with_the_time_to_wait(
    api: Api, api_store: WatchedStore, path: str, query: str
) -> None:
    set_counter(api_store, path, untouched_ms=5_000, best_effort=3, eventual=1)
    response = await api.post(path + query)
    assert response.status_code == response.json()["status"] == 409
    assert response.headers["content-type"] == "application/problem+json"
    # A strict counter can be healed in use, and its wait begins now.
    assert response.headers["retry-after"] == "15"
    assert response.json()["type"] == "urn:distributed-counter:problem:counter-busy"


async def test_a_write_of_unknown_outcome_asks_to_come_back(api: Api, api_store: WatchedStore, path: str) -> None:
    set_counter(api_store, path, untouched_ms=QUIET_MS, best_effort=3, eventual=2)
    api_store.fail("heal_counter", Fault.ANSWER_LOST)
    response = await api.post(path)
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    again = (await api.post(path)).json()
    assert (again["healed"], again["after"]) == (True, {"best_effort": 2, "eventual": 2, "drift": 0})


async def test_a_trailing_slash_changes_nothing(api: Api, path: str) -> None:
    assert (await api.post(f"{path}/?dry_run=true")).content == (await api.post(f"{path}?dry_run=true")).content
