"""A table says which layout it has, and one of another version is refused, on each backend in turn."""

from collections.abc import AsyncIterator

import boto3
import pytest

from counters import keys
from counters.errors import TableLayoutError
from counters.keys import SERVICES, CounterKey, PrimaryKey
from counters.stores.dynamodb import DynamoStore, items, open_store
from stack.provision import create_table
from tests.support import factories


@pytest.fixture
def table(dynamodb_endpoint: str) -> str:
    """Return the name of a table that is nobody's yet."""
    return create_table(dynamodb_endpoint)


@pytest.fixture
async def store(dynamodb_endpoint: str, table: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DynamoStore]:
    """Yield a store on it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", dynamodb_endpoint)
    async with open_store(table) as store:
        yield store


async def make_account(store: DynamoStore) -> None:
    account = factories.account()
    await store.create_account(account, factories.counter(CounterKey(account.id, SERVICES)))


async def test_a_new_table_gets_the_layout_and_keeps_it(store: DynamoStore) -> None:
    await store.ping()
    await make_account(store)
    await store.ping()


async def test_a_table_with_accounts_that_says_nothing_is_refused(store: DynamoStore) -> None:
    await make_account(store)
    for _ in range(2):
        with pytest.raises(TableLayoutError, match="its layout is not known, and this version needs 2"):
            await store.ping()


@pytest.mark.parametrize("layout", ["1", "3"])
async def test_a_table_of_another_version_is_refused(
    store: DynamoStore, dynamodb_endpoint: str, table: str, layout: str
) -> None:
    item = items.key_item(PrimaryKey(keys.LAYOUT_PK, keys.LAYOUT_SK)) | {keys.LAYOUT: {"N": layout}}
    client = boto3.client("dynamodb", endpoint_url=dynamodb_endpoint)
    client.put_item(TableName=table, Item=item)
    client.close()
    with pytest.raises(TableLayoutError, match=f"its layout is {layout}, and this version needs 2"):
        await store.ping()
