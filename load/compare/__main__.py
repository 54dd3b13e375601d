"""Compares the strategies: ``python -m load.compare [--rounds N] [--seconds S] [--json FILE]``.

On a MiniStack of its own, or on the emulator at ``AWS_ENDPOINT_URL``. Progress goes to stderr, one Markdown table to
stdout, and every round's figures to the file.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from load.command import command, progress, write_figures
from load.compare.baselines.deployment import deploy
from load.compare.phases import Servers, Sizes, play_outage, play_round
from load.compare.results import Comparison, Result, Round, to_markdown
from load.compare.strategies import STRATEGIES, Strategy, WatchedTable
from load.server import ENGINE, UNITS
from stack.emulators import ministack
from stack.errors import StackError
from stack.harness.faults import FaultInjector, fault_injector
from stack.network import free_port, status_of, url_of
from stack.paths import ROOT
from stack.processes import running
from stack.provision import provision
from stack.system import api_program, wait_for_api

JSON_FILE: Final = ROOT / "build" / "load" / "compare.json"

_ROUNDS_MAX: Final = 100
_SECONDS_MIN: Final = 0.3
_SECONDS_MAX: Final = 60.0


@command("load:compare")
def main() -> int:
    """Run the comparison, print the table and return the exit status."""
    default = Sizes()
    parser = argparse.ArgumentParser(prog="load:compare", description="Compare ways to keep a limit.")
    parser.add_argument("--rounds", type=int, default=default.rounds, help="how often each strategy is measured")
    parser.add_argument("--seconds", type=float, default=default.seconds, help="how long each creates at full speed")
    parser.add_argument("--json", type=Path, default=JSON_FILE, help="where all figures go")
    arguments = parser.parse_args()
    if not 1 <= arguments.rounds <= _ROUNDS_MAX:
        parser.error(f"--rounds must be from 1 to {_ROUNDS_MAX}, not {arguments.rounds}")
    if not _SECONDS_MIN <= arguments.seconds <= _SECONDS_MAX:
        parser.error(f"--seconds must be from {_SECONDS_MIN} to {_SECONDS_MAX:.0f}, not {arguments.seconds:g}")
    comparison = compare(Sizes(rounds=arguments.rounds, seconds=arguments.seconds))
    write_figures(arguments.json, comparison)
    print(to_markdown(comparison))
    return 0


def compare(sizes: Sizes, strategies: Sequence[Strategy] = STRATEGIES) -> Comparison:
    """Start everything, measure each strategy in turns, and stop everything.

    Raises:
        StackError: Something did not start.
    """
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    given = os.environ.get("AWS_ENDPOINT_URL")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        logs = Path(folder)
        port = free_port()
        endpoint = given or url_of(port)
        if not given:
            stack.enter_context(ministack(port, logs / "ministack.log"))
        elif status_of(endpoint) is None:
            raise StackError(f"Nobody answers at {endpoint}: unset AWS_ENDPOINT_URL, or start an emulator there.")
        injector = stack.enter_context(fault_injector(endpoint, logs))
        endpoints = [endpoint] * sizes.processes + [injector.url]
        servers = {
            entries: _start_servers(stack, entries, endpoints, logs)
            for entries in dict.fromkeys(strategy.entries for strategy in strategies)
        }
        results = asyncio.run(_measure(strategies, endpoint, servers, injector, sizes))
    return Comparison(
        started_at=started_at,
        endpoint=given or "MiniStack",
        sizes=msgspec.structs.asdict(sizes),
        results=results,
    )


def _start_servers(stack: ExitStack, entries: str, endpoints: Sequence[str], logs: Path) -> Servers:
    """Start a process on each endpoint, the last of which is faulty, and return when all serve."""
    progress(f"starting {len(endpoints)} processes: {entries}")
    # A table of this run only, so that an emulator that goes on can be used again.
    table = f"compare-{entries}-{uuid.uuid4().hex[:8]}"
    if entries == ENGINE:
        provision(endpoints[0], table)
    else:
        deploy(endpoints[0], entries, table)
    started = {}
    for number, endpoint in enumerate(endpoints):
        port = free_port()
        module = ["load.server", entries, *([UNITS] if number else [])]
        started[port] = stack.enter_context(running(api_program(module, port, endpoint, table, logs)))
    for port, server in started.items():
        wait_for_api(server, port)
    *direct, faulty = map(url_of, started)
    return Servers(table, direct, faulty)


async def _measure(
    strategies: Sequence[Strategy],
    endpoint: str,
    servers: Mapping[str, Servers],
    injector: FaultInjector,
    sizes: Sizes,
) -> list[Result]:
    rounds: dict[str, list[Round]] = {strategy.name: [] for strategy in strategies}
    for number in range(sizes.rounds):
        for strategy in strategies:
            progress(f"round {number + 1} of {sizes.rounds}: {strategy.name}")
            its = servers[strategy.entries]
            rounds[strategy.name].append(
                await play_round(strategy, its, WatchedTable(endpoint, strategy, its.table), sizes)
            )
    results = []
    for strategy in strategies:
        progress(f"outage: {strategy.name}")
        served = await play_outage(strategy, servers[strategy.entries], injector, sizes)
        results.append(
            Result(strategy=strategy.name, what=strategy.what, rounds=rounds[strategy.name], served_in_outage=served)
        )
    return results


if __name__ == "__main__":
    sys.exit(main())
