"""What a process's memory does when many accounts are used once each."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

import uvloop

from counters.keys import SERVICES, CounterKey
from counters.model import Counter
from counters.stores.dynamodb import items
from load.command import progress
from load.targets.findings import Finding, Measurement
from load.targets.servers import BenchServer, bench, create
from stack import aws
from stack.harness.accounts import make_account
from stack.harness.client import Outcome, send_all
from stack.provision import create_table

ACCOUNTS: Final = 100_000
CONNECTIONS: Final = 64

_BATCH: Final = 25
_SAMPLE_S: Final = 0.5
_IDLE_S: Final = 20.0
"""Longer than lanes are kept."""


def measure(accounts: int = ACCOUNTS) -> Measurement:
    """Create a service on each of so many accounts, of which only the counters are there: a create asks for no more.

    Raises:
        StackError: Something did not start.
        ValueError: A request failed.
    """
    with bench() as its:
        table = create_table(its.dynamodb.url)
        progress(f"memory: making {accounts} counters")
        account_ids = [f"account-{number}" for number in range(accounts)]
        _make_counters(its.dynamodb.url, table, account_ids)
        server = its.serve(table, ["api"])
        uvloop.run(send_all([create(server.url, make_account(server.url))] * 1000, CONNECTIONS))
        start_mb = server.memory_mb()
        progress(f"memory: creating on {accounts} accounts")
        highest_mb = uvloop.run(_touch(server, account_ids))
        time.sleep(_IDLE_S)
        end_mb = server.memory_mb()
    return Measurement(
        target="memory",
        findings=[
            Finding.at_most("MB more than at the start, afterwards", end_mb - start_mb, 30),
            Finding.at_most("MB resident, at most", highest_mb, 150),
        ],
        notes=[f"{start_mb:.0f} MB at the start, {highest_mb:.0f} at most, {end_mb:.0f} at the end"],
    )


def _make_counters(endpoint: str, table: str, account_ids: Sequence[str]) -> None:
    client = aws.dynamodb_client(endpoint)
    for start in range(0, len(account_ids), _BATCH):
        part = account_ids[start : start + _BATCH]
        counters = [Counter(key=CounterKey(account_id, SERVICES), limit=10) for account_id in part]
        for side in (items.counter_item, items.exact_item):
            client.batch_write_item(
                RequestItems={table: [{"PutRequest": {"Item": side(counter)}} for counter in counters]}
            )


async def _touch(server: BenchServer, account_ids: Sequence[str]) -> float:
    """Create once on each account; return the most memory that was ever resident, in megabytes."""
    highest_mb = server.memory_mb()
    load = asyncio.create_task(send_all([create(server.url, account_id) for account_id in account_ids], CONNECTIONS))
    while not load.done():
        await asyncio.wait([load], timeout=_SAMPLE_S)
        highest_mb = max(highest_mb, server.memory_mb())
    outcome: Outcome = load.result()
    if outcome.statuses[201] != len(account_ids):
        raise ValueError(f"Not every create succeeded: {dict(outcome.statuses)}")
    return highest_mb
