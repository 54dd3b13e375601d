"""What healing costs, in DynamoDB's units, on backends that count them (``docs/design/engine.md``, section 7).

Read units are DynamoDB Local's: MiniStack counts them wrong. The one conditional write is one unit on both.
"""

from collections import Counter as Tally
from collections.abc import AsyncIterator, Mapping
from random import Random
from typing import Any

import msgspec
import pytest

from counters.healing.healer import Healer
from counters.healing.settings import HealingSettings
from counters.healing.sweep import Sweeper, SweepSettings
from counters.keys import SERVICES, CounterKey, Ledger, id_at
from counters.model import Entry
from counters.stores.dynamodb import DynamoClient, DynamoStore, open_client
from counters.values.ids import new_page_id, uuid7
from stack.provision import create_table
from tests.support import factories

ENTRIES = 5_000
PAGES = 100
DEADLINE_S = 30.0
LONG_AGO_MS = 3_600_000


class HealingBill:
    """Units consumed through a client since the last look, by operation."""

    def __init__(self, client: DynamoClient) -> None:
        self._units: Tally[str] = Tally()
        self._send = client.send

    def take(self) -> dict[str, float]:
        """Return what was consumed, and start anew."""
        units, self._units = self._units, Tally()
        return dict(units)

    async def send(self, *, action: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Send a call and ask what it consumes."""
        answer = await self._send(action=action, payload={**payload, "ReturnConsumedCapacity": "TOTAL"})
        consumed = answer.get("ConsumedCapacity", [])
        for one in consumed if isinstance(consumed, list) else [consumed]:
            self._units[action] += one["CapacityUnits"]
        return answer


@pytest.fixture
async def bill(dynamodb_local_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HealingBill]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", dynamodb_local_endpoint)
    async with open_client() as client:
        yield HealingBill(client)


@pytest.fixture
def store(bill: HealingBill, dynamodb_local_endpoint: str) -> DynamoStore:
    return DynamoStore(DynamoClient(bill.send), create_table(dynamodb_local_endpoint))


def make_healer(store: DynamoStore) -> Healer:
    return Healer(
        store,
        clock=lambda: factories.NOW_MS,
        random=Random(0),
        deadline_s=DEADLINE_S,
        settings=HealingSettings(),
    )


async def add_counter(store: DynamoStore, random: Random, *, best_effort: int) -> CounterKey:
    """Store an account as the API makes it, untouched for an hour."""
    account = factories.account(uuid7(factories.NOW_MS, random))
    counter = factories.counter(CounterKey(account.id, SERVICES), limit=ENTRIES, best_effort=best_effort)
    await store.create_account(account, msgspec.structs.replace(counter, touched_at_ms=factories.NOW_MS - LONG_AGO_MS))
    return counter.key


async def nobody_is_deleted(account_id: str) -> None:
    raise AssertionError(account_id)


async def fill(store: DynamoStore, random: Random, key: CounterKey) -> None:
    """Store the entries as the API makes them."""
    ledger = Ledger(key, 1)
    page_size = ENTRIES // PAGES
    for number in range(PAGES):
        page_id = new_page_id(factories.NOW_MS + number, random)
        places = range(1, page_size + 1)
        page = [Entry(id=id_at(page_id, place), name="billing", created_at_ms=factories.NOW_MS) for place in places]
        assert await store.insert_page(ledger, page) is None


async def test_healing_a_counter_of_5000_entries_reads_each_page_once_and_writes_once(
    store: DynamoStore, bill: HealingBill
) -> None:
    random = Random(0)
    key = await add_counter(store, random, best_effort=ENTRIES + 1)
    await fill(store, random, key)
    bill.take()

    diagnosis = await make_healer(store).heal(key)

    units = bill.take()
    assert diagnosis.total == ENTRIES
    assert units.pop("BatchGetItem") == 2
    assert units.pop("UpdateItem") == 1
    assert 10 <= units.pop("Query") <= 40
    assert not units


async def test_census_of_a_counter_of_5000_entries_writes_once_for_each_page(
    store: DynamoStore, bill: HealingBill
) -> None:
    random = Random(0)
    key = await add_counter(store, random, best_effort=ENTRIES)
    await fill(store, random, key)
    await make_healer(store).heal(key)
    bill.take()

    await make_healer(store).reconcile(key, recount_eventual=True)

    units = bill.take()
    # The healing and the census read the ledger once each, and the counter is read before, between and after.
    assert units.pop("BatchGetItem") == 6
    assert 20 <= units.pop("Query") <= 80
    # A healing, the raising, four steps, and the end that waits for the answers.
    assert PAGES < units.pop("UpdateItem") <= PAGES + 8
    assert not units


async def test_looking_at_100_accounts_that_are_right_costs_two_units_each_and_the_list(
    store: DynamoStore, bill: HealingBill
) -> None:
    random = Random(0)
    for _ in range(100):
        await add_counter(store, random, best_effort=0)
    bill.take()

    sweeper = Sweeper(
        store, make_healer(store), nobody_is_deleted, random=random, deadline_s=DEADLINE_S, settings=SweepSettings()
    )
    report = await sweeper.sweep()

    units = bill.take()
    assert report.looked_at == 100
    assert units.pop("BatchGetItem") == 200
    assert units.pop("Query") <= 3
    assert not units
