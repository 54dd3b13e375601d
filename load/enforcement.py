"""Measures what strict and hybrid enforcement buy, against the plain way: ``./taskw load:enforcement``.

All three on one emulator in one run, through four processes each, so that there is somebody to disagree with; rounds
alternate, and each round has accounts of its own. Prints a Markdown table.
"""

import asyncio
import json
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

from load.chaos_faults import FaultInjector, Rule, fault_injector
from load.client import Answer, Outcome, Request, send_all, send_for
from load.history import Recorder
from load.ledger import Table
from stack.emulators import ministack
from stack.network import free_port, url_of
from stack.processes import running
from stack.provision import provision
from stack.system import DEFAULT_TABLE, api_program, wait_for_api

ROUNDS: Final = 3
PROCESSES: Final = 4
CONNECTIONS: Final = 64
LIMIT: Final = 500
BURST: Final = 1500
CHURNS: Final = 4
CHURNED: Final = 200
SPEED_S: Final = 3.0
OUTAGE_S: Final = 8.0
"""Longer than an operation's deadline, so that each caller gets an answer in it."""

SETTLED_WITHIN_S: Final = 30.0
_POLL_S: Final = 0.1

UNLIMITED: Final = 10**9
CREATED: Final = 201
REFUSED: Final = 409

COUNTER_WRITES_THROTTLED: Final[Mapping[str, Rule]] = {
    "throttled": {
        "operation": "UpdateItem",
        "body": "starts_with(Key.PK.S, 'COUNTER#')",
        "error": {"code": "ProvisionedThroughputExceededException"},
    }
}


class Variant(NamedTuple):
    """A way to keep a limit.

    Attributes:
        name: What it is called.
        server: Argument of ``load.server``.
        enforcement: Of the accounts.
    """

    name: str
    server: str
    enforcement: str


VARIANTS: Final = (
    Variant("strict", "strict", "strict"),
    Variant("hybrid", "strict", "hybrid"),
    Variant("plain", "plain", "strict"),
)


class Round(NamedTuple):
    """What one round of one variant measured.

    Attributes:
        overshoot: Most entries over the limit at any instant.
        refused_with_room: Creates that were refused although there was room for all that were under way.
        errors: Answers that are neither yes nor no.
        creates_per_s: Services made in a second without a limit in the way.
        p99_ms: Latency that 99 percent of those stayed within, in milliseconds.
        served_in_outage: Share of the creates that succeeded while each write to the counter was throttled.
    """

    overshoot: int
    refused_with_room: int
    errors: int
    creates_per_s: float
    p99_ms: float
    served_in_outage: float


class Account(NamedTuple):
    """An account and the processes that its requests go to in turn."""

    urls: Sequence[str]
    id: str

    def creates(self, number: int) -> list[Request]:
        """Return so many creates."""
        body = json.dumps({"account_id": self.id, "name": "load"}).encode()
        return [Request("POST", f"{self.urls[i % len(self.urls)]}/services", body) for i in range(number)]

    def deletes(self, service_ids: Sequence[str]) -> list[Request]:
        """Return the deletes of these services."""
        return [
            Request("DELETE", f"{self.urls[i % len(self.urls)]}/services/{service_id}?account_id={self.id}")
            for i, service_id in enumerate(service_ids)
        ]


class Servers(NamedTuple):
    """Where a kind of server runs.

    Attributes:
        direct: Four processes on the emulator.
        faulty: One process behind the fault injector.
    """

    direct: Sequence[str]
    faulty: str


def main() -> None:
    """Run the comparison and print one table."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        logs = Path(folder)
        port = free_port()
        stack.enter_context(ministack(port, logs / "ministack.log"))
        provision(url_of(port), DEFAULT_TABLE)
        injector = stack.enter_context(fault_injector(url_of(port), logs))
        servers = {kind: _start(stack, kind, url_of(port), injector.url, logs) for kind in ("strict", "plain")}
        rounds = asyncio.run(_measure(servers, injector, Table(url_of(port), DEFAULT_TABLE)))
    print(to_markdown(rounds))


def _start(stack: ExitStack, kind: str, endpoint: str, faulty_endpoint: str, logs: Path) -> Servers:
    endpoints = {free_port(): endpoint for _ in range(PROCESSES)} | {free_port(): faulty_endpoint}
    for port, its_endpoint in endpoints.items():
        program = api_program(["load.server", kind], port, its_endpoint, DEFAULT_TABLE, logs)
        wait_for_api(stack.enter_context(running(program)), port)
    *direct, faulty = map(url_of, endpoints)
    return Servers(direct, faulty)


async def _measure(servers: Mapping[str, Servers], injector: FaultInjector, table: Table) -> dict[str, list[Round]]:
    rounds: dict[str, list[Round]] = {variant.name: [] for variant in VARIANTS}
    for number in range(ROUNDS):
        for variant in VARIANTS:
            print(f"round {number + 1} of {ROUNDS}: {variant.name}", file=sys.stderr, flush=True)
            rounds[variant.name].append(await _play_round(variant, servers[variant.server], injector, table))
    return rounds


async def _play_round(variant: Variant, servers: Servers, injector: FaultInjector, table: Table) -> Round:
    recorder = Recorder(table)
    small = await _make_account(variant, servers.direct, LIMIT)
    at_limit = await _play_at_limit(small, table)
    fast = await _make_account(variant, servers.direct, UNLIMITED)
    speed = await send_for(fast.creates(PROCESSES), CONNECTIONS, SPEED_S)
    outage = await _play_outage(await _make_account(variant, [servers.faulty], UNLIMITED), injector)
    answers = Outcome([*at_limit.answers, *speed.answers], 0.0)
    return Round(
        overshoot=recorder.past(small.id).overshoot_max,
        refused_with_room=at_limit.refused_with_room,
        errors=sum(n for status, n in answers.statuses.items() if status not in {CREATED, 204, REFUSED}),
        creates_per_s=speed.statuses[CREATED] / speed.elapsed_s,
        p99_ms=speed.latency_ms(0.99),
        served_in_outage=outage.statuses[CREATED] / len(outage.answers),
    )


async def _make_account(variant: Variant, urls: Sequence[str], limit: int) -> Account:
    new = {"username": "load", "max_number_of_services": limit, "enforcement": variant.enforcement}
    (answer,) = (await send_all([Request("POST", f"{urls[0]}/accounts", json.dumps(new).encode())], 1)).answers
    return Account(urls, json.loads(answer.body)["id"])


class AtLimit(NamedTuple):
    """What happened around the limit.

    Attributes:
        answers: All answers.
        refused_with_room: How many creates were refused although there was room.
    """

    answers: Sequence[Answer]
    refused_with_room: int


async def _play_at_limit(account: Account, table: Table) -> AtLimit:
    """Fill an account far beyond its limit; then, over and over, make room, use most of it at once, and fill it up."""
    answers = [*(await send_all(account.creates(BURST), CONNECTIONS)).answers]
    alive = _ids(answers)
    refused = 0
    for _ in range(CHURNS):
        # A caller who deletes long after the burst: by then the exact counter shows the ledger full, too.
        await _wait_until_settled(account.id, table)
        gone, alive = alive[:CHURNED], alive[CHURNED:]
        answers += (await send_all(account.deletes(gone), CONNECTIONS)).answers
        # Fewer than there is room for: whoever is refused now is refused wrongly.
        fitting = await send_all(account.creates((LIMIT - len(alive)) // 2), CONNECTIONS)
        refused += fitting.statuses[REFUSED]
        filling = await send_all(account.creates(LIMIT), CONNECTIONS)
        answers += [*fitting.answers, *filling.answers]
        alive += _ids([*fitting.answers, *filling.answers])
    return AtLimit(answers, refused)


async def _wait_until_settled(account_id: str, table: Table) -> None:
    total = len(table.entries(account_id))
    async with asyncio.timeout(SETTLED_WITHIN_S):
        while True:
            if table.counters(account_id).eventual == total:
                return
            await asyncio.sleep(_POLL_S)


async def _play_outage(account: Account, injector: FaultInjector) -> Outcome:
    injector.inject(COUNTER_WRITES_THROTTLED)
    try:
        return await send_for(account.creates(1), CONNECTIONS, OUTAGE_S)
    finally:
        injector.inject({})


def _ids(answers: Sequence[Answer]) -> list[str]:
    return [json.loads(answer.body)["id"] for answer in answers if answer.status == CREATED]


def to_markdown(rounds: Mapping[str, Sequence[Round]]) -> str:
    """Return the table: the worst round for what should not happen, the median for speed."""
    lines = [
        "| | most over the limit | refused with room | errors | creates/s | p99 ms | served in an outage |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, played in rounds.items():
        overshoot, refused, errors, speed, p99, served = zip(*played, strict=True)
        lines.append(
            f"| {name} | {max(overshoot)} | {max(refused)} | {max(errors)} | {statistics.median(speed):.0f} "
            f"| {statistics.median(p99):.0f} | {statistics.median(served):.0%} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
