"""The work that each strategy does: at full speed, at the limit, and while its counter cannot be written."""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from load.compare.results import Round
from load.compare.strategies import Strategy, WatchedTable
from stack.harness.accounts import UNLIMITED, make_account
from stack.harness.client import Answer, Request, send_all, send_for
from stack.harness.faults import FaultInjector, Rule
from stack.harness.usage import read_usage

CREATED: Final = 201
DELETED: Final = 204
REFUSED: Final = 409

_EXACT_WITHIN_S: Final = 30.0
_POLL_S: Final = 0.05

_THROTTLED: Final = {"code": "ProvisionedThroughputExceededException"}
_COUNTER_THROTTLED: Final[Mapping[str, Rule]] = {
    "update": {"operation": "UpdateItem", "body": "starts_with(Key.PK.S, 'COUNTER#')", "error": _THROTTLED},
    # Each one updates the counter.
    "transaction": {"operation": "TransactWriteItems", "error": _THROTTLED},
}


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """How much work.

    Attributes:
        rounds: How often each strategy does it all; they take turns.
        seconds: How long it creates at full speed, each round.
        processes: API processes around the limit, so that there is somebody to disagree with. At full speed it is one.
        connections: Requests under way at a time.
        limit: The limit, where one is in the way.
        burst: Creates that come at once on an empty account.
        churns: How often room is made afterwards.
        churned: How much room is made each time.
        outage_s: How long the counter cannot be written: longer than an operation's deadline, so that each caller gets
            an answer in it.
    """

    rounds: int = 5
    seconds: float = 3.0
    processes: int = 4
    connections: int = 64
    limit: int = 500
    burst: int = 1500
    churns: int = 3
    churned: int = 200
    outage_s: float = 8.0


class Servers(NamedTuple):
    """Where one kind of server runs.

    Attributes:
        table: Its table's name.
        direct: Processes on the endpoint. All but the first count units.
        faulty: One process behind the fault injector.
    """

    table: str
    direct: Sequence[str]
    faulty: str


class _Account(NamedTuple):
    """An account and the processes that its requests go to in turn."""

    urls: Sequence[str]
    id: str

    def creates(self, number: int) -> list[Request]:
        body = json.dumps({"account_id": self.id, "name": "load"}).encode()
        return [Request("POST", f"{self.urls[i % len(self.urls)]}/services", body) for i in range(number)]

    def deletes(self, service_ids: Sequence[str]) -> list[Request]:
        return [
            Request("DELETE", f"{self.urls[i % len(self.urls)]}/services/{service_id}?account_id={self.id}")
            for i, service_id in enumerate(service_ids)
        ]


async def play_round(strategy: Strategy, servers: Servers, table: WatchedTable, sizes: Sizes) -> Round:
    """Do all work of one round, on accounts of its own."""
    first, second, *_ = servers.direct
    fast = await _make_account(strategy, [first])
    before = await read_usage(first)
    outcome = await send_for(fast.creates(1), sizes.connections, sizes.seconds)
    exact_s = await _wait_until_exact(fast.id, table)
    used = await read_usage(first) - before
    created = outcome.statuses[CREATED]
    limited = await _make_account(strategy, servers.direct, sizes.limit)
    at_limit, refused_with_room = await _play_at_limit(limited, table, sizes)
    write_units, read_units = await _bill(await _make_account(strategy, [second]), sizes)
    return Round(
        creates_per_s=created / outcome.elapsed_s,
        p50_ms=outcome.latency_ms(0.5),
        p99_ms=outcome.latency_ms(0.99),
        errors=sum(one.status not in {CREATED, DELETED, REFUSED} for one in [*outcome.answers, *at_limit]),
        overshoot=max(0, table.most(limited.id) - sizes.limit),
        refused_with_room=refused_with_room,
        calls_per_create=used.total_calls / created,
        write_units_per_create=write_units,
        read_units_per_create=read_units,
        lambda_writes_per_create=table.settlements(fast.id) / created,
        exact_after_s=exact_s,
    )


async def play_outage(strategy: Strategy, servers: Servers, injector: FaultInjector, sizes: Sizes) -> float:
    """Create while each write to a counter is throttled; return the share that succeeded."""
    account = await _make_account(strategy, [servers.faulty])
    injector.inject(_COUNTER_THROTTLED)
    try:
        outcome = await send_for(account.creates(1), sizes.connections, sizes.outage_s)
    finally:
        injector.inject({})
    return outcome.statuses[CREATED] / len(outcome.answers)


async def _make_account(strategy: Strategy, urls: Sequence[str], limit: int = UNLIMITED) -> _Account:
    return _Account(urls, await asyncio.to_thread(make_account, urls[0], limit, strategy.enforcement))


async def _bill(account: _Account, sizes: Sizes) -> tuple[float, float]:
    """Return the write and the read units that a create costs the API, where counting them disturbs nothing else."""
    (url,) = account.urls
    before = await read_usage(url)
    outcome = await send_for(account.creates(1), sizes.connections, sizes.seconds / 3)
    units = (await read_usage(url) - before).units
    if units is None:
        raise ValueError(f"{url} counts no units.")
    created = outcome.statuses[CREATED]
    return units.write / created, units.read / created


async def _play_at_limit(account: _Account, table: WatchedTable, sizes: Sizes) -> tuple[Sequence[Answer], int]:
    """Fill an account far beyond its limit; then, over and over, make room, use half of it at once, and fill it up.

    Returns:
        All answers, and how many creates were refused although there was room for all that were under way.
    """
    answers = [*(await send_all(account.creates(sizes.burst), sizes.connections)).answers]
    alive = _ids(answers)
    refused = 0
    for _ in range(sizes.churns):
        # A caller who deletes long after the burst: by then the exact counter shows the ledger full, too.
        await _wait_until_exact(account.id, table)
        # Whatever is over the limit goes first, so that there is as much room for every strategy.
        excess = max(0, len(alive) - sizes.limit + sizes.churned)
        gone, alive = alive[:excess], alive[excess:]
        answers += (await send_all(account.deletes(gone), sizes.connections)).answers
        # Fewer than there is room for: whoever is refused now is refused wrongly.
        fitting = await send_all(account.creates((sizes.limit - len(alive)) // 2), sizes.connections)
        refused += fitting.statuses[REFUSED]
        filling = await send_all(account.creates(sizes.limit), sizes.connections)
        answers += [*fitting.answers, *filling.answers]
        alive += _ids([*fitting.answers, *filling.answers])
    return answers, refused


async def _wait_until_exact(account_id: str, table: WatchedTable) -> float | None:
    """Return after how many seconds the exact count is the number of entries; None when it does not become that."""
    start = time.monotonic()
    count, total = table.count(account_id), table.total(account_id)
    counted_s = 0.0
    while count != total:
        if counted_s > _EXACT_WITHIN_S:
            return None
        await asyncio.sleep(_POLL_S)
        counted_s = time.monotonic() - start
        count = table.count(account_id)
    return counted_s


def _ids(answers: Sequence[Answer]) -> list[str]:
    return [json.loads(answer.body)["id"] for answer in answers if answer.status == CREATED]
