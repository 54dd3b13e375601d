"""Measures what group commit buys: ``./taskw load:group-commit``.

The same API, once as it is and once creating entries the plain way (``load.baselines.read_check``), on one emulator in
one run: rounds alternate, and each round is a new account, so that neither gains from the other's order. No Lambda is
attached to the tables, as only the API's side is compared. ``load.compare`` has the whole picture.
"""

import asyncio
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

import aiohttp

from load.client import Request, send_for
from load.server import ENGINE
from load.usage import read_usage
from stack.emulators import ministack
from stack.network import free_port, url_of
from stack.processes import running
from stack.provision import create_table
from stack.system import api_program, wait_for_api

ROUNDS: Final = 5
ROUND_S: Final = 4.0
CONNECTIONS: Final = 64
VARIANTS: Final = {"strict": ENGINE, "plain": "read-check"}
"""What ``load.server`` runs for each."""


class Round(NamedTuple):
    """What one round of one variant measured.

    Attributes:
        creates_per_s: Services made in a second.
        calls_per_create: DynamoDB calls that the API's client sent for each.
        p50_ms: Latency that half of the creates stayed within, in milliseconds.
        p99_ms: Latency that 99 percent of the creates stayed within, in milliseconds.
    """

    creates_per_s: float
    calls_per_create: float
    p50_ms: float
    p99_ms: float


def main() -> None:
    """Run the comparison and print one table."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        logs = Path(folder)
        port = free_port()
        stack.enter_context(ministack(port, logs / "ministack.log"))
        urls = {variant: _start(stack, entries, url_of(port), logs) for variant, entries in VARIANTS.items()}
        rounds = asyncio.run(_measure(urls))
    _print_table(rounds)


def _start(stack: ExitStack, entries: str, endpoint: str, logs: Path) -> str:
    port = free_port()
    table = create_table(endpoint)
    server = stack.enter_context(running(api_program(["load.server", entries], port, endpoint, table, logs)))
    wait_for_api(server, port)
    return url_of(port)


async def _measure(urls: Mapping[str, str]) -> dict[str, list[Round]]:
    rounds: dict[str, list[Round]] = {variant: [] for variant in urls}
    for number in range(ROUNDS):
        for variant, url in urls.items():
            print(f"round {number + 1} of {ROUNDS}: {variant}", file=sys.stderr, flush=True)
            rounds[variant].append(await _play_round(url))
    return rounds


async def _play_round(url: str) -> Round:
    async with aiohttp.ClientSession(url) as session:
        new = {"username": "load", "max_number_of_services": 10**9}
        async with session.post("/accounts", json=new) as answer:
            account_id = (await answer.json())["id"]
        request = Request("POST", f"{url}/services", f'{{"account_id":"{account_id}","name":"load"}}'.encode())
        before = await read_usage(url)
        outcome = await send_for([request], CONNECTIONS, ROUND_S)
        used = await read_usage(url) - before
    created = outcome.statuses[201]
    if created != len(outcome.answers):
        raise SystemExit(f"Not every create succeeded: {dict(outcome.statuses)}")
    return Round(
        creates_per_s=created / outcome.elapsed_s,
        calls_per_create=used.total_calls / created,
        p50_ms=outcome.latency_ms(0.5),
        p99_ms=outcome.latency_ms(0.99),
    )


def _print_table(rounds: Mapping[str, Sequence[Round]]) -> None:
    print(f"\n{CONNECTIONS} connections, one account, one API process; medians of {ROUNDS} rounds of {ROUND_S:.0f} s\n")
    print("| variant | creates/s | calls/create | p50 ms | p99 ms |\n| --- | --- | --- | --- | --- |")
    for variant, played in rounds.items():
        speed, calls, p50, p99 = (statistics.median(column) for column in zip(*played, strict=True))
        print(f"| {variant} | {speed:.0f} | {calls:.3f} | {p50:.1f} | {p99:.1f} |")
    ratios = [
        strict.creates_per_s / plain.creates_per_s
        for strict, plain in zip(rounds["strict"], rounds["plain"], strict=True)
    ]
    print(f"\nstrict is {statistics.median(ratios):.1f} times as fast (from {min(ratios):.1f} to {max(ratios):.1f})")


if __name__ == "__main__":
    main()
