"""What each baseline owes when nobody disagrees with it, behind the API's routes and on every backend."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from random import SystemRandom
from typing import Any

import aiohttp
import pytest
from httpx import ASGITransport, AsyncClient

from api.app import create_app
from counters import keys
from counters.stores.dynamodb import DynamoClient, open_client
from counters.stores.dynamodb.answers import AnswerError
from load.compare.baselines import layout
from load.compare.baselines.backend import make_backend
from load.compare.baselines.deployment import STREAM_FED
from load.compare.baselines.entries import BASELINES
from load.compare.baselines.sdk import open_sdk
from load.compare.baselines.table import BaselineTable, make_table
from stack.provision import create_table

LIMIT = 3


def api_over(baseline: str, table: BaselineTable) -> AsyncClient:
    """Return a client of the API in this very event loop, which the table's client belongs to."""
    return AsyncClient(transport=ASGITransport(create_app(make_backend(baseline, table))), base_url="http://api")  # type: ignore[arg-type]


class Shop:
    """One baseline's API and one account."""

    def __init__(self, baseline: str, api: AsyncClient, table: BaselineTable) -> None:
        self._baseline = baseline
        self.api = api
        self._table = table
        self.account_id = ""

    async def open(self) -> None:
        """Make the account."""
        answer = await self.api.post("/accounts", json={"username": "ada", "max_number_of_services": LIMIT})
        assert answer.status_code == HTTPStatus.CREATED
        self.account_id = answer.json()["id"]

    async def create(self) -> tuple[int, str]:
        """Create a service and return status and id."""
        answer = await self.api.post("/services", json={"account_id": self.account_id, "name": "billing"})
        await self._settle(answer.status_code == HTTPStatus.CREATED, 1)
        return answer.status_code, answer.json().get("id", "")

    async def delete(self, service_id: str) -> int:
        """Delete a service and return the status."""
        answer = await self.api.delete(f"/services/{service_id}", params={"account_id": self.account_id})
        await self._settle(answer.status_code == HTTPStatus.NO_CONTENT, -1)
        return answer.status_code

    async def _settle(self, done: bool, delta: int) -> None:  # noqa: FBT001 - a question and its answer
        """Do what the Lambda would."""
        if done and self._baseline == STREAM_FED:
            await self._table.add(self.account_id, delta)


@pytest.fixture(params=[open_client, open_sdk], ids=["service-client", "sdk"])
async def table(
    request: pytest.FixtureRequest, dynamodb_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[BaselineTable]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", dynamodb_endpoint)
    async with request.param(try_timeout_s=2.5) as client:
        yield make_table(client, create_table(dynamodb_endpoint), SystemRandom())


@pytest.fixture(params=sorted(BASELINES))
async def shop(request: pytest.FixtureRequest, table: BaselineTable) -> AsyncIterator[Shop]:
    async with api_over(request.param, table) as api:
        shop = Shop(request.param, api, table)
        await shop.open()
        yield shop


async def test_the_limit_holds_for_one_caller_and_a_delete_makes_room(shop: Shop) -> None:
    made = [await shop.create() for _ in range(LIMIT)]
    assert [status for status, _ in made] == [HTTPStatus.CREATED] * LIMIT
    assert (await shop.create())[0] == HTTPStatus.CONFLICT

    assert await shop.delete(made[0][1]) == HTTPStatus.NO_CONTENT
    assert (await shop.create())[0] == HTTPStatus.CREATED
    assert (await shop.create())[0] == HTTPStatus.CONFLICT


async def test_a_refusal_says_what_the_limit_is(shop: Shop) -> None:
    for _ in range(LIMIT):
        await shop.create()
    answer = await shop.api.post("/services", json={"account_id": shop.account_id, "name": "one too many"})
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.json()["limit"], answer.json()["value"]) == (LIMIT, LIMIT)


async def test_what_is_not_there_is_404(shop: Shop) -> None:
    assert await shop.delete("nothing") == HTTPStatus.NOT_FOUND
    shop.account_id = "nobody"
    assert (await shop.create())[0] == HTTPStatus.NOT_FOUND


async def test_an_entry_is_deleted_once(shop: Shop) -> None:
    _, service_id = await shop.create()
    assert [await shop.delete(service_id) for _ in range(2)] == [HTTPStatus.NO_CONTENT, HTTPStatus.NOT_FOUND]
    assert [(await shop.create())[0] for _ in range(LIMIT + 1)] == [HTTPStatus.CREATED] * LIMIT + [HTTPStatus.CONFLICT]


async def test_a_sharded_counter_is_spread(table: BaselineTable) -> None:
    async with api_over("sharded", table) as api:
        body = {"username": "ada", "max_number_of_services": 1000}
        account_id = (await api.post("/accounts", json=body)).json()["id"]
        for _ in range(60):
            await api.post("/services", json={"account_id": account_id, "name": "billing"})
    shards = [layout.counter_key(account_id, shard) for shard in range(layout.SHARDS)]
    answer = await table.client.batch_get_item(RequestItems={table.name: {"Keys": shards}})
    counts = [layout.count_of(item) for item in answer["Responses"][table.name]]
    assert sum(counts) == 60
    assert len(counts) > 5, "60 draws of 10 that leave out 5 are one in a billion"


async def test_a_conditional_counter_holds_its_limit_for_many_callers(table: BaselineTable) -> None:
    async with api_over("conditional", table) as api:
        body = {"username": "ada", "max_number_of_services": 10}
        service = {"account_id": (await api.post("/accounts", json=body)).json()["id"], "name": "billing"}
        answers = await asyncio.gather(*(api.post("/services", json=service) for _ in range(40)))
    assert Counter(answer.status_code for answer in answers) == {HTTPStatus.CREATED: 10, HTTPStatus.CONFLICT: 30}


@pytest.mark.parametrize(
    ("error", "count"),
    [
        (AnswerError(HTTPStatus.BAD_REQUEST, "ThrottlingException", {}), 0),
        # It may be there, so it stays counted.
        (AnswerError(HTTPStatus.INTERNAL_SERVER_ERROR, "InternalServerError", {}), 1),
        (aiohttp.ServerTimeoutError(), 1),
    ],
    ids=repr,
)
async def test_a_conditional_counter_gets_back_the_room_of_an_entry_that_was_surely_not_put(
    table: BaselineTable, error: Exception, count: int
) -> None:
    async def send(*, action: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        if action == "PutItem" and payload["Item"][keys.PK]["S"].startswith(keys.ENTRIES_PREFIX):
            raise error
        return await table.client.send(action=action, payload=payload)

    async with api_over("conditional", BaselineTable(DynamoClient(send), table.name, table.random)) as api:
        body = {"username": "ada", "max_number_of_services": 1}
        account_id = (await api.post("/accounts", json=body)).json()["id"]
        answer = await api.post("/services", json={"account_id": account_id, "name": "billing"})
    assert answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    counter = await table.read(account_id, layout.counter_key(account_id), consistent=True)
    assert layout.count_of(counter) == count
