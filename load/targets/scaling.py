"""What a second API process adds."""

import asyncio
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Final, NamedTuple

import uvloop

from load.command import progress
from load.server import ENGINE
from load.targets.findings import Finding, Measurement
from load.targets.servers import Bench, BenchServer, bench, bench_without_emulator, create
from stack.harness.accounts import make_account
from stack.harness.client import Request, send_for
from stack.provision import create_table

ROUNDS: Final = 30
"""Many and short: on shared cores the speed changes by a factor of two within seconds."""

ROUND_S: Final = 1.0
CONNECTIONS: Final = 64
"""To each process: twice the processes serve twice the callers."""


class _Round(NamedTuple):
    answers_per_s: float
    api_cpu_s: float
    dynamodb_cpu_s: float
    load_cpu_s: float


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
            Finding.at_least("creates/s of two processes, times one's, beside the emulator", here, 1.5),
            Finding.at_least("creates/s of two processes, times one's, DynamoDB elsewhere", elsewhere, 1.6),
        ],
        notes=[*notes_here, *notes_elsewhere],
    )


def _measure(its: Bench, table: str, dynamodb: str) -> tuple[float, list[str]]:
    """Play rounds with one process and with both, in turns; each process has a hot account of its own.

    An empty handler does the same, to show what a second process can add where the load takes a part of both cores.
    """
    servers = [its.serve(table, ["load.server", ENGINE]) for _ in range(2)]
    accounts = [make_account(server.url) for server in servers]
    played: dict[str, list[_Round]] = defaultdict(list)
    for number in range(ROUNDS):
        progress(f"scaling: round {number + 1} of {ROUNDS}: {dynamodb}")
        for name, path in (("creates", "/services"), ("empty handler", "/empty")):
            requests = [create(server.url, account, path) for server, account in zip(servers, accounts, strict=True)]
            for processes in (1, 2):
                played[f"{processes} x {name}"].append(_play(servers[:processes], requests[:processes], its.dynamodb))
    notes = [_note(name, rounds, dynamodb) for name, rounds in played.items()]
    of_empty = _ratio(played["2 x empty handler"], played["1 x empty handler"])
    notes.append(f"requests/s of two processes with an empty handler, times one's: {of_empty:.2f}")
    return _ratio(played["2 x creates"], played["1 x creates"]), notes


def _ratio(twos: Sequence[_Round], ones: Sequence[_Round]) -> float:
    return statistics.median(two.answers_per_s / one.answers_per_s for two, one in zip(twos, ones, strict=True))


def _play(servers: Sequence[BenchServer], requests: Sequence[Request], dynamodb: BenchServer) -> _Round:
    async def load() -> float:
        outcomes = await asyncio.gather(*(send_for([request], CONNECTIONS, ROUND_S) for request in requests))
        statuses = [status for outcome in outcomes for status in outcome.statuses if status != 201]  # noqa: PLR2004
        if statuses:
            raise ValueError(f"Not every request succeeded: {statuses}")
        return sum(len(outcome.answers) / outcome.elapsed_s for outcome in outcomes)

    api_s, dynamodb_s, load_s = sum(server.cpu_s() for server in servers), dynamodb.cpu_s(), time.process_time()
    answers_per_s = uvloop.run(load())
    return _Round(
        answers_per_s,
        sum(server.cpu_s() for server in servers) - api_s,
        dynamodb.cpu_s() - dynamodb_s,
        time.process_time() - load_s,
    )


def _note(name: str, rounds: Sequence[_Round], dynamodb: str) -> str:
    speed, api, other, own = (statistics.median(column) for column in zip(*rounds, strict=True))
    return (
        f"{name}: {speed:.0f}/s; in {ROUND_S:.0f} s, {api:.2f} s of processor for API, {other:.2f} s for "
        f"{dynamodb} and {own:.2f} s for the load"
    )
