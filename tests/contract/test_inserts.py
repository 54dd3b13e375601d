"""Entries under callers' own ids that are stored with one call, on each backend in turn."""

import asyncio
import time
from collections import Counter as Tally
from collections.abc import AsyncIterator, Mapping
from random import Random
from typing import Any, cast

import pytest

from counters.errors import NotAppliedError
from counters.keys import Ledger
from counters.model import Created, LedgerPage
from counters.stores.dynamodb import DynamoClient, DynamoStore, open_client
from stack import aws
from stack.provision import create_table
from stream_lambda.records import parse_records
from tests.support import factories
from tests.support.engines import make_account, make_engine

NOT_YET_EXPIRED_MS = time.time_ns() // 1_000_000
"""The time now, as a backend that removes what expired has to leave alone what a test looks at."""


class Throttling:
    """Sends calls, notes them, and throttles a share of a batch's statements: they do not reach the backend.

    Attributes:
        calls: Number of calls of each operation.
        share: Probability that a statement is throttled.
        throttled: How many were.
    """

    def __init__(self, client: DynamoClient) -> None:
        self._send = client.send
        self._random = Random(0)
        self.calls: Tally[str] = Tally()
        self.share = 0.0
        self.throttled = 0

    async def send(self, *, action: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """See ``Send``."""
        self.calls[action] += 1
        if action != "BatchExecuteStatement":
            return await self._send(action=action, payload=payload)
        let_through = [self._random.random() >= self.share for _ in payload["Statements"]]
        self.throttled += let_through.count(False)
        passed = [one for one, passes in zip(payload["Statements"], let_through, strict=True) if passes]
        answer = await self._send(action=action, payload={"Statements": passed}) if passed else {"Responses": []}
        outcomes = iter(answer["Responses"])
        error = {"Error": {"Code": "ProvisionedThroughputExceeded", "Message": "throttled"}}
        return {"Responses": [next(outcomes) if passes else error for passes in let_through]}


@pytest.fixture(scope="module")
def table(dynamodb_endpoint: str) -> str:
    """Make a table on the backend whose turn it is."""
    return create_table(dynamodb_endpoint)


@pytest.fixture
async def wire(dynamodb_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Throttling]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", dynamodb_endpoint)
    async with open_client() as client:
        yield Throttling(client)


@pytest.fixture
def store(wire: Throttling, table: str) -> DynamoStore:
    return DynamoStore(DynamoClient(wire.send), table)


async def test_a_hundred_at_once_are_stored_where_the_key_is_free_and_find_what_has_it_elsewhere(
    store: DynamoStore, wire: Throttling
) -> None:
    ledger = Ledger(factories.counter_key(), 4)
    first = [factories.entry(f"order-{n}", name=f"first {n} ∆", nonce=f"f{n}") for n in range(0, 100, 2)]
    second = [factories.entry(f"order-{n}", name=f"second {n}", nonce=f"s{n}") for n in range(100)]
    assert await asyncio.gather(*(store.insert_page(ledger, [entry]) for entry in first)) == [None] * 50
    deleted, *kept = first
    assert await store.delete_entries(ledger, [deleted], NOT_YET_EXPIRED_MS)
    wire.calls.clear()

    outcomes = await asyncio.gather(*(store.insert_page(ledger, [entry]) for entry in second))

    assert outcomes[1::2] == [None] * 50
    assert outcomes[0] == LedgerPage(entries=(), nonce=deleted.nonce)
    assert outcomes[2::2] == [LedgerPage(entries=(entry,), nonce=entry.nonce) for entry in kept]
    assert wire.calls == {"BatchExecuteStatement": 4, "BatchGetItem": 4}
    there = {entry.id: entry for entry in [*kept, *second[1::2]]}
    assert await store.read_entries(ledger, [entry.id for entry in second]) == there


async def test_a_throttled_statement_stores_nothing_and_holds_up_no_other(store: DynamoStore, wire: Throttling) -> None:
    ledger = Ledger(factories.counter_key(), 1)
    entries = [factories.entry(f"order-{n}", nonce=f"n{n}") for n in range(50)]
    wire.share = 0.3
    outcomes = await asyncio.gather(*(store.insert_page(ledger, [entry]) for entry in entries), return_exceptions=True)
    there = await store.read_entries(ledger, [entry.id for entry in entries])
    assert [*there] == [entry.id for entry, outcome in zip(entries, outcomes, strict=True) if outcome is None]
    refused = [outcome for outcome in outcomes if outcome is not None]
    assert 0 < len(refused) == wire.throttled < 50
    assert {type(outcome) for outcome in refused} == {NotAppliedError}


async def test_whatever_callers_send_is_stored_as_it_is(store: DynamoStore, wire: Throttling) -> None:
    key = factories.counter_key()._replace(account_id="it's \"mine\"? {'PK': ?} -- é")
    names = ["'", '"', "?", "\\", "{'a': ?}", "''); DROP", "é ∆ 😀", "\n\t", "<<1, 2>>", "`x`", "null"]
    entries = [factories.entry(f"id-{n}?'\"", name=name, amount=n + 1, nonce="'?\"") for n, name in enumerate(names)]
    outcomes = await asyncio.gather(*(store.insert_page(Ledger(key, 1), [entry]) for entry in entries))
    assert outcomes == [None] * len(names)
    assert wire.calls == {"BatchExecuteStatement": 1}
    assert await store.list_entries(key, 0, 100, None) == (sorted(entries, key=lambda entry: entry.id), False)


async def test_of_equal_inserts_in_calls_at_once_one_is_stored(
    store: DynamoStore, table: str, wire: Throttling
) -> None:
    other = DynamoStore(DynamoClient(wire.send), table)
    ledger = Ledger(factories.counter_key(), 1)
    rivals = [[factories.entry(f"order-{n}", nonce=f"{who}{n}") for n in range(25)] for who in "ab"]
    outcomes = await asyncio.gather(
        *(one.insert_page(ledger, [e]) for one, mine in zip((store, other), rivals, strict=True) for e in mine)
    )
    assert wire.calls["BatchExecuteStatement"] == 2
    for pair in zip(*rivals, outcomes[:25], outcomes[25:], strict=True):
        first, second, of_first, of_second = pair
        winner = first if of_first is None else second
        assert [of_first, of_second].count(None) == 1
        assert (of_second if of_first is None else of_first) == LedgerPage(entries=(winner,), nonce=winner.nonce)


async def test_creates_under_own_ids_are_exact_while_statements_are_throttled(
    store: DynamoStore, wire: Throttling
) -> None:
    engine = make_engine(store)
    key = await make_account(engine, limit=150)
    wire.share = 0.2
    ids = [f"order-{n}" for n in range(100)]
    created = await asyncio.gather(*(engine.entries.create(key, "mail", id_) for id_ in ids))
    assert [one.replayed for one in created] == [False] * 100
    again = await asyncio.gather(*(engine.entries.create(key, "mail", id_) for id_ in ids))
    assert again == [Created(one.entry, replayed=True) for one in created]
    assert wire.throttled > 0
    assert wire.calls["PutItem"] < 100
    # What repeats had reserved goes back after their answers.
    await engine.drain()
    counter = await store.read_counter(key)
    assert counter is not None
    assert counter.best_effort == 100


async def test_the_stream_tells_of_what_is_inserted_in_one_call(
    dynamodb_local_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As AWS's does, and MiniStack's does not: so ``up`` makes no such calls."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", dynamodb_local_endpoint)
    table = create_table(dynamodb_local_endpoint)
    ledger = Ledger(factories.counter_key(), 1)
    entries = [factories.entry(f"order-{n}", amount=n + 1, nonce=f"n{n}") for n in range(25)]
    async with open_client() as client:
        wire = Throttling(client)
        store = DynamoStore(DynamoClient(wire.send), table)
        for _ in range(2):
            await asyncio.gather(*(store.insert_page(ledger, [entry]) for entry in entries))
    assert wire.calls == {"BatchExecuteStatement": 2, "BatchGetItem": 1}
    batch = parse_records(_records(dynamodb_local_endpoint, table))
    assert not batch.malformed
    assert sorted(change.delta for change in batch.changes) == [entry.amount for entry in entries]
    assert {change.key for change in batch.changes} == {ledger.counter}


def _records(endpoint: str, table: str) -> list[object]:
    """Return what a table's stream tells, as a Lambda gets it."""
    described = aws.dynamodb_client(endpoint).describe_table(TableName=table)
    streams, arn = aws.streams_client(endpoint), described["Table"]["LatestStreamArn"]
    found: list[object] = []
    for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
        iterator = streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        for record in streams.get_records(ShardIterator=iterator)["Records"]:
            change = record["dynamodb"]
            # A Lambda gets seconds.
            at_s = change["ApproximateCreationDateTime"].timestamp()
            found.append(
                {**cast("dict[str, object]", record), "dynamodb": {**change, "ApproximateCreationDateTime": at_s}}
            )
    return found
