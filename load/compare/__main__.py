"""Compares the strategies: ``python -m load.compare [--rounds N] [--seconds S] [--json FILE]``.

On a MiniStack of its own, or on the emulator at ``AWS_ENDPOINT_URL``. Progress goes to stderr, one Markdown table to
stdout, and every round's figures to the file.
"""

import argparse
import asyncio
import os
import platform
import sys
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from load.compare.baselines.deployment import deploy
from load.compare.phases import Servers, Sizes, play_outage, play_round
from load.compare.results import Comparison, Result, Round, to_markdown
from load.compare.strategies import STRATEGIES, Strategy
from load.compare.tables import WatchedTable
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


class _Run(NamedTuple):
    """What runs: by strategy's ``entries``, the servers and the table's name."""

    endpoint: str
    servers: Mapping[str, Servers]
    tables: Mapping[str, str]
    injector: FaultInjector


def main() -> int:
    """Run the comparison, print the table and return the exit status."""
    arguments = _parse(sys.argv[1:])
    try:
        comparison = compare(Sizes(rounds=arguments.rounds, seconds=arguments.seconds))
    except StackError as error:
        print(f"load:compare: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(comparison)))
    print(to_markdown(comparison))
    return 0


def compare(sizes: Sizes, strategies: Sequence[Strategy] = STRATEGIES) -> Comparison:
    """Start everything, measure each strategy in turns, and stop everything.

    Raises:
        StackError: Something did not start.
    """
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        run = _start(stack, endpoint, strategies, sizes, Path(folder))
        results = asyncio.run(_measure(run, strategies, sizes))
    return Comparison(
        started_at=started_at,
        endpoint=endpoint or "MiniStack",
        processors=os.cpu_count() or 1,
        python=platform.python_version(),
        sizes=msgspec.structs.asdict(sizes),
        results=results,
    )


def _start(stack: ExitStack, endpoint: str | None, strategies: Sequence[Strategy], sizes: Sizes, logs: Path) -> _Run:
    if endpoint is None:
        port = free_port()
        endpoint = url_of(port)
        stack.enter_context(ministack(port, logs / "ministack.log"))
    elif status_of(endpoint) is None:
        raise StackError(f"Nobody answers at {endpoint}: unset AWS_ENDPOINT_URL, or start an emulator there.")
    injector = stack.enter_context(fault_injector(endpoint, logs))
    # Tables of this run only, so that an emulator that goes on can be used again.
    tables = {strategy.entries: f"compare-{strategy.entries}-{uuid.uuid4().hex[:8]}" for strategy in strategies}
    for entries, table in tables.items():
        if entries == ENGINE:
            provision(endpoint, table)
        else:
            deploy(endpoint, entries, table)
    servers = {}
    for entries, table in tables.items():
        _progress(f"starting {sizes.processes + 1} processes: {entries}")
        servers[entries] = _start_servers(stack, entries, table, [endpoint] * sizes.processes + [injector.url], logs)
    return _Run(endpoint, servers, tables, injector)


def _start_servers(stack: ExitStack, entries: str, table: str, endpoints: Sequence[str], logs: Path) -> Servers:
    started = {}
    for number, endpoint in enumerate(endpoints):
        port = free_port()
        module = ["load.server", entries, *([UNITS] if number else [])]
        started[port] = stack.enter_context(running(api_program(module, port, endpoint, table, logs)))
    for port, server in started.items():
        wait_for_api(server, port)
    *direct, faulty = map(url_of, started)
    return Servers(direct, faulty)


async def _measure(run: _Run, strategies: Sequence[Strategy], sizes: Sizes) -> list[Result]:
    rounds: dict[str, list[Round]] = {strategy.name: [] for strategy in strategies}
    for number in range(sizes.rounds):
        for strategy in strategies:
            _progress(f"round {number + 1} of {sizes.rounds}: {strategy.name}")
            table = WatchedTable(run.endpoint, strategy, run.tables[strategy.entries])
            rounds[strategy.name].append(await play_round(strategy, run.servers[strategy.entries], table, sizes))
    results = []
    for strategy in strategies:
        _progress(f"outage: {strategy.name}")
        served = await play_outage(strategy, run.servers[strategy.entries], run.injector, sizes)
        results.append(
            Result(strategy=strategy.name, what=strategy.what, rounds=rounds[strategy.name], served_in_outage=served)
        )
    return results


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    default = Sizes()
    parser = argparse.ArgumentParser(prog="load:compare", description="Compare ways to keep a limit.")
    parser.add_argument("--rounds", type=_rounds, default=default.rounds, help="how often each strategy is measured")
    parser.add_argument("--seconds", type=_seconds, default=default.seconds, help="how long each creates at full speed")
    parser.add_argument("--json", type=Path, default=JSON_FILE, help="where all figures go")
    return parser.parse_args(arguments)


def _rounds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _ROUNDS_MAX):
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {_ROUNDS_MAX}, not {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not _SECONDS_MIN <= seconds <= _SECONDS_MAX:
        raise argparse.ArgumentTypeError(f"must be a number from {_SECONDS_MIN} to {_SECONDS_MAX:.0f}, not {text!r}")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
