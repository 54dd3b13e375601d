"""What a second API process adds."""

import asyncio
import statistics
from collections.abc import Sequence
from typing import Final, NamedTuple

import uvloop

from load.client import send_for
from load.server import ENGINE
from load.targets.findings import Finding, Measurement
from load.targets.servers import Bench, Server, bench, bench_without_emulator, create, make_account, progress
from stack.provision import create_table

ROUNDS: Final = 5
ROUND_S: Final = 4.0
CONNECTIONS: Final = 64
"""To each process: twice the processes serve twice the callers."""


class _Round(NamedTuple):
    creates_per_s: float
    api_cpu_s: float
    dynamodb_cpu_s: float


def measure() -> Measurement:
    """Measure with an emulator on the same processors, and with DynamoDB elsewhere, as it really is.

    Raises:
        StackError: Something did not start.
        ValueError: A request failed.
    """
    with bench() as its:
        here, notes_here = _measure(its, create_table(its.dynamodb.url), "emulator")
    with bench_without_emulator() as its:
        elsewhere, notes_elsewhere = _measure(its, "any-table", "stand-in")
    return Measurement(
        target="scaling",
        findings=[
            Finding.at_least("creates/s of two processes, times one's, beside the emulator", here, 1.6),
            Finding.at_least("creates/s of two processes, times one's, DynamoDB elsewhere", elsewhere, 1.6),
        ],
        notes=[*notes_here, *notes_elsewhere],
    )


def _measure(its: Bench, table: str, dynamodb: str) -> tuple[float, list[str]]:
    """Play rounds with one process and with both, in turns; each process has a hot account of its own."""
    servers = [its.serve(table, ["load.server", ENGINE]) for _ in range(2)]
    ones, twos = [], []
    for number in range(ROUNDS):
        progress(f"scaling: round {number + 1} of {ROUNDS}: {dynamodb}")
        ones.append(_play(servers[:1], its.dynamodb))
        twos.append(_play(servers, its.dynamodb))
    ratio = statistics.median(two.creates_per_s / one.creates_per_s for one, two in zip(ones, twos, strict=True))
    return ratio, [_note("one", ones, dynamodb), _note("two", twos, dynamodb)]


def _play(servers: Sequence[Server], dynamodb: Server) -> _Round:
    requests = [create(server.url, make_account(server.url)) for server in servers]

    async def load() -> float:
        outcomes = await asyncio.gather(*(send_for([request], CONNECTIONS, ROUND_S) for request in requests))
        statuses = [status for outcome in outcomes for status in outcome.statuses if status != 201]  # noqa: PLR2004
        if statuses:
            raise ValueError(f"Not every create succeeded: {statuses}")
        return sum(len(outcome.answers) / outcome.elapsed_s for outcome in outcomes)

    api_s, dynamodb_s = sum(server.cpu_s() for server in servers), dynamodb.cpu_s()
    creates_per_s = uvloop.run(load())
    return _Round(creates_per_s, sum(server.cpu_s() for server in servers) - api_s, dynamodb.cpu_s() - dynamodb_s)


def _note(name: str, rounds: Sequence[_Round], dynamodb: str) -> str:
    speed, api, other = (statistics.median(column) for column in zip(*rounds, strict=True))
    return (
        f"{name}: {speed:.0f}/s; in {ROUND_S:.0f} s, {api:.1f} s of processor for API and {other:.1f} s for {dynamodb}"
    )
