"""How many write units a create costs, and a create with its delete."""

import asyncio
import json
import statistics
import time
from contextlib import closing
from typing import Final, NamedTuple

import uvloop

from load.command import progress
from load.compare.strategies import STRATEGIES, WatchedTable
from load.server import ENGINE, UNITS
from load.targets.findings import Finding, Measurement
from load.targets.servers import BenchServer, bench, create
from stack.harness.accounts import AccountsClient, make_account
from stack.harness.client import send_for
from stack.harness.connection import Connections, Request
from stack.harness.usage import read_usage
from stack.provision import provision

ROUNDS: Final = 5
ROUND_S: Final = 4.0
CONNECTIONS: Final = 64

_TABLE: Final = "cost"
_SETTLED_WITHIN_S: Final = 30.0


class _Bill(NamedTuple):
    api: float
    settling: float


def measure() -> Measurement:
    """Create, and create and delete, with the Lambda at work.

    Raises:
        StackError: Something did not start.
        TimeoutError: The Lambda did not settle.
        ValueError: A request failed.
    """
    (strict,) = (one for one in STRATEGIES if one.name == "strict")
    creates, pairs = [], []
    with bench() as its:
        provision(its.dynamodb.url, _TABLE)
        server = its.serve(_TABLE, ["load.server", ENGINE, UNITS])
        table = WatchedTable(its.dynamodb.url, strict, _TABLE)
        for number in range(ROUNDS):
            progress(f"cost: round {number + 1} of {ROUNDS}")
            creates.append(_bill(server, table, paired=False))
            pairs.append(_bill(server, table, paired=True))
    api, settling = (statistics.median(column) for column in zip(*creates, strict=True))
    pair_api, pair_settling = (statistics.median(column) for column in zip(*pairs, strict=True))
    return Measurement(
        target="cost",
        findings=[
            Finding.at_most("API's write units a create", api, 0.12),
            Finding.at_most("Lambda's write units a create", settling, 0.02),
            Finding.at_most("write units a create and delete", pair_api + pair_settling, 1.3),
        ],
        notes=[f"a create and delete: API {pair_api:.3f}, Lambda {pair_settling:.3f}"],
    )


def _bill(server: BenchServer, table: WatchedTable, *, paired: bool) -> _Bill:
    account_id = make_account(server.url)
    before = uvloop.run(read_usage(server.url))
    if paired:
        done = uvloop.run(_create_and_delete(server.url, account_id))
    else:
        outcome = uvloop.run(send_for([create(server.url, account_id)], CONNECTIONS, ROUND_S))
        done = outcome.statuses[201]
        if done != len(outcome.answers):
            raise ValueError(f"Not every create succeeded: {dict(outcome.statuses)}")
    units = (uvloop.run(read_usage(server.url)) - before).units
    if units is None:
        raise ValueError("The server counts no units.")
    counts = AccountsClient(server.url).settle(account_id, _SETTLED_WITHIN_S)
    if counts.eventual != counts.value:
        raise TimeoutError(f"The Lambda did not settle within {_SETTLED_WITHIN_S:.0f} s.")
    return _Bill(units.write / done, table.settlements(account_id) / done)


async def _create_and_delete(url: str, account_id: str) -> int:
    """Create and delete, over and over, on every connection; return how often."""
    request = create(url, account_id)
    end = time.perf_counter() + ROUND_S

    async def work() -> int:
        done = 0
        with closing(Connections(timeout_s=10)) as connections:
            while time.perf_counter() < end:
                created = await connections.send(request)
                service = json.loads(created.body)["id"]
                deleted = await connections.send(Request("DELETE", f"{url}/services/{service}?account_id={account_id}"))
                if (created.status, deleted.status) != (201, 204):
                    raise ValueError(f"A create was answered {created.status} and its delete {deleted.status}.")
                done += 1
        return done

    return sum(await asyncio.gather(*(work() for _ in range(CONNECTIONS))))
