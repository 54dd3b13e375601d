"""The API over a store in memory."""

from collections.abc import AsyncIterator

import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from api.app import create_app
from tests.support.engines import make_engine
from tests.support.stores import WatchedStore


@pytest.fixture
def api_store() -> WatchedStore:
    """Return the store behind the API."""
    return WatchedStore()


@pytest.fixture
async def api(api_store: WatchedStore) -> AsyncIterator[AsyncTestClient[Litestar]]:
    """Yield a client of the API."""
    async with AsyncTestClient(create_app(make_engine(api_store))) as client:
        yield client


@pytest.fixture
async def account_id(api: AsyncTestClient[Litestar]) -> str:
    """Return the id of an account with room for three services."""
    response = await api.post("/accounts", json={"username": "ada", "max_number_of_services": 3})
    account_id: str = response.json()["id"]
    return account_id
