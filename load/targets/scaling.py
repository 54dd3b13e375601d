"""What a second API process adds."""

import asyncio
import statistics
from collections.abc import Sequence
from typing import Final, NamedTuple

import uvloop

from load.client import send_for
from load.server import ENGINE
from load.targets.findings import Finding, Measurement
from load.targets.servers import Server, bench, create, make_account, progress
from stack.provision import create_table

ROUNDS: Final = 5
ROUND_S: Final = 4.0
CONNECTIONS: Final = 64
"""To each process: twice the processes serve twice the callers."""


class _Round(NamedTuple):
    creates_per_s: float
    api_cpu_s: float
    emulator_cpu_s: float


def measure() -> Measurement:
    """Play rounds with one process and with both, in turns; each process has a hot account of its own.

    Raises:
        StackError: Something did not start.
        ValueError: A request failed.
    """
    with bench() as its:
        table = create_table(its.emulator.url)
        servers = [its.serve(table, ["load.server", ENGINE]) for _ in range(2)]
        ones, twos = [], []
        for number in range(ROUNDS):
            progress(f"scaling: round {number + 1} of {ROUNDS}")
            ones.append(_play(servers[:1], its.emulator))
            twos.append(_play(servers, its.emulator))
    ratio = statistics.median(two.creates_per_s / one.creates_per_s for one, two in zip(ones, twos, strict=True))
    return Measurement(
        target="scaling",
        findings=[Finding.at_least("creates/s of two processes, times one's", ratio, 1.6)],
        notes=[_note("one", ones), _note("two", twos)],
    )


def _play(servers: Sequence[Server], emulator: Server) -> _Round:
    requests = [create(server.url, make_account(server.url)) for server in servers]

    async def load() -> float:
        outcomes = await asyncio.gather(*(send_for([request], CONNECTIONS, ROUND_S) for request in requests))
        statuses = [status for outcome in outcomes for status in outcome.statuses if status != 201]  # noqa: PLR2004
        if statuses:
            raise ValueError(f"Not every create succeeded: {statuses}")
        return sum(len(outcome.answers) / outcome.elapsed_s for outcome in outcomes)

    api_s, emulator_s = sum(server.cpu_s() for server in servers), emulator.cpu_s()
    creates_per_s = uvloop.run(load())
    return _Round(creates_per_s, sum(server.cpu_s() for server in servers) - api_s, emulator.cpu_s() - emulator_s)


def _note(name: str, rounds: Sequence[_Round]) -> str:
    speed, api, emulator = (statistics.median(column) for column in zip(*rounds, strict=True))
    return (
        f"{name}: {speed:.0f}/s; in {ROUND_S:.0f} s, {api:.1f} s of processor for API and {emulator:.1f} s for emulator"
    )
