"""Checks the model against the emulator, where both can run: one process, 64 callers.

The emulator has no limits, so this checks time and batching, not contention. From what single calls cost on this
machine the model tells how fast the whole is and how large batches become; then the whole is measured.
"""

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

import uvloop

from counters.engine import Engine, EngineSettings
from counters.keys import SERVICES, CounterKey
from counters.model import Change, Entry
from counters.stores.dynamodb import DynamoClient, DynamoStore, open_client
from counters.stores.memory import MemoryStore
from counters.stores.port import Store
from load.model.assumptions import FULL_BATCH_ITEMS, Call, Cost, CpuCosts
from load.model.client import Trip
from load.model.run import run
from load.model.scenario import ModelStrategy, Scenario, ScenarioResult
from load.usage import Meter
from stack import aws
from stack.emulators import ministack
from stack.network import free_port, url_of
from stack.provision import create_table

CALLERS: Final = 64
ROUNDS: Final = 5
ROUND_S: Final = 3.0
SLOTS: Final = 64
"""As many as there can be, so that none of the model's limits is reached: the emulator has none."""

_PROBES: Final = 300
_MEMORY_CREATES: Final = 200
_LIMIT: Final = 10**9


class Probe(NamedTuple):
    """What one kind of call costs, in milliseconds.

    Attributes:
        client_ms: Our processor time.
        server_ms: The rest of the time until the answer.
    """

    client_ms: float
    server_ms: float


class Speed(NamedTuple):
    """How fast the whole is.

    Attributes:
        creates_per_s: Creates in a second.
        calls_per_create: DynamoDB calls for each.
        core_ms: Processor time of the client for each, in milliseconds: what does not depend on who else is at work.
        p50_ms: Latency that half of the creates stayed within.
        p99_ms: Latency that 99 percent stayed within.
    """

    creates_per_s: float
    calls_per_create: float
    core_ms: float
    p50_ms: float
    p99_ms: float


class EmulatorNetwork:
    """An emulator carries out one call after the other."""

    def __init__(self, call: Cost, batch: Cost) -> None:
        self._call = call
        self._batch = batch
        self._free_at = 0.0

    def trip(self, call: Call, items: int, sent_at: float) -> Trip:
        """See ``Network``."""
        cost = self._batch if call is Call.BATCH_WRITE else self._call
        self._free_at = max(sent_at, self._free_at) + cost.of_s(items)
        return Trip(self._free_at, self._free_at)


def check() -> str:
    """Measure, model, and return both side by side as a Markdown table.

    Raises:
        StackError: The emulator did not start.
    """
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        with ministack(port, Path(folder) / "ministack.log"):
            table = create_table(url_of(port))
            os.environ.update(aws.environment(url_of(port)))
            return uvloop.run(_measure(table))


async def _measure(table: str) -> str:
    _say("what the engine itself costs")
    request_ms = await _engine_ms()
    async with open_client() as client:
        meter = Meter(client.send, units=False)
        store = DynamoStore(DynamoClient(meter.send), table)
        _say("what single calls cost")
        update, single, full = await _probe_calls(store)
        rounds = []
        for number in range(ROUNDS):
            _say(f"round {number + 1} of {ROUNDS}")
            rounds.append(await _play_round(store, meter))
    measured = Speed(*(statistics.median(column) for column in zip(*rounds, strict=True)))
    cpu = CpuCosts(request_ms=request_ms, call=Cost(update.client_ms), batch=_line(single.client_ms, full.client_ms))
    server = Cost(update.server_ms), _line(single.server_ms, full.server_ms)
    scenario = Scenario(
        strategy=ModelStrategy.STRICT,
        processes=1,
        slots=SLOTS,
        callers=CALLERS,
        warm_up_s=1.0,
        window_s=ROUND_S,
        cpu=cpu,
    )
    # In a thread, as virtual time needs an event loop of its own.
    modelled = await asyncio.to_thread(run, scenario, lambda _: EmulatorNetwork(*server))
    return _to_markdown(request_ms, (update, single, full), measured, modelled)


async def _engine_ms() -> float:
    """Return the processor time of one create without the store's, in milliseconds."""
    engine, key = await _engine_on(MemoryStore())

    async def create_some() -> None:
        for _ in range(_MEMORY_CREATES):
            await engine.entries.create(key, "load")

    before = time.process_time()
    await asyncio.gather(*(create_some() for _ in range(CALLERS)))
    return 1000 * (time.process_time() - before) / (CALLERS * _MEMORY_CREATES)


async def _probe_calls(store: DynamoStore) -> tuple[Probe, Probe, Probe]:
    """Return what an update costs, and batches of one and of as many entries as there can be."""
    _, key = await _engine_on(store)
    change = Change(delta=1, admits=True, limit=_LIMIT, epoch=None, at_ms=0)

    def batch(size: int) -> Callable[[], Awaitable[object]]:
        entries = [Entry(id=f"probe-{number}", name="load", created_at_ms=0) for number in range(size)]
        return lambda: store.write_entries(key, SLOTS, entries)

    update = await _probe(lambda: store.change_counter(key, change))
    return update, await _probe(batch(1)), await _probe(batch(FULL_BATCH_ITEMS))


async def _probe(call: Callable[[], Awaitable[object]]) -> Probe:
    await call()
    started, worked = time.perf_counter(), time.process_time()
    for _ in range(_PROBES):
        await call()
    elapsed_ms = 1000 * (time.perf_counter() - started) / _PROBES
    client_ms = 1000 * (time.process_time() - worked) / _PROBES
    return Probe(client_ms, elapsed_ms - client_ms)


async def _play_round(store: DynamoStore, meter: Meter) -> Speed:
    engine, key = await _engine_on(store)
    latencies_s: list[float] = []

    async def create_for(seconds: float) -> None:
        end = time.perf_counter() + seconds
        while (started := time.perf_counter()) < end:
            await engine.entries.create(key, "load")
            latencies_s.append(time.perf_counter() - started)

    await asyncio.gather(*(create_for(0.5) for _ in range(CALLERS)))
    latencies_s.clear()
    before = meter.usage
    started, worked = time.perf_counter(), time.process_time()
    await asyncio.gather(*(create_for(ROUND_S) for _ in range(CALLERS)))
    elapsed_s, worked_s = time.perf_counter() - started, time.process_time() - worked
    calls = (meter.usage - before).total_calls
    created = len(latencies_s)
    p50, p99 = (1000 * cut for cut in _cuts(latencies_s))
    return Speed(created / elapsed_s, calls / created, 1000 * worked_s / created, p50, p99)


async def _engine_on(store: Store) -> tuple[Engine, CounterKey]:
    """Return a new engine and an account of its own."""
    engine = Engine(
        store,
        clock=lambda: time.time_ns() // 1_000_000,
        random=Random(0),  # noqa: S311 - for ids and waits, not for secrets
        settings=EngineSettings(services_slots=SLOTS),
    )
    view = await engine.accounts.create("load", _LIMIT)
    return engine, CounterKey(view.account.id, SERVICES)


def _cuts(values: Sequence[float]) -> tuple[float, float]:
    cuts = statistics.quantiles(values, n=100)
    return cuts[49], cuts[98]


def _line(single_ms: float, full_ms: float) -> Cost:
    """Return the cost that is right for one item and for a full batch."""
    item_ms = max(0.0, full_ms - single_ms) / (FULL_BATCH_ITEMS - 1)
    return Cost(single_ms - item_ms, item_ms)


def _to_markdown(request_ms: float, probes: Sequence[Probe], measured: Speed, modelled: ScenarioResult) -> str:
    names = ("UpdateItem", "BatchWriteItem of 1", f"BatchWriteItem of {FULL_BATCH_ITEMS}")
    lines = ["| one at a time | client, ms of processor | emulator, ms |", "| --- | --- | --- |"]
    lines.append(f"| a create, less its calls | {request_ms:.3f} | |")
    lines += [
        f"| {name} | {one.client_ms:.2f} | {one.server_ms:.2f} |" for name, one in zip(names, probes, strict=True)
    ]
    lines += ["", f"| {CALLERS} callers | measured | modelled | difference |", "| --- | --- | --- | --- |"]
    pairs = {
        "creates/s": (measured.creates_per_s, modelled.creates_per_s),
        "calls/create": (measured.calls_per_create, modelled.calls_per_create),
        "processor ms/create": (measured.core_ms, 1000 * modelled.core / modelled.creates_per_s),
        "p50 ms": (measured.p50_ms, modelled.p50_ms),
        "p99 ms": (measured.p99_ms, modelled.p99_ms),
    }
    lines += [
        f"| {name} | {real:.4g} | {model:.4g} | {model / real - 1:+.0%} |" for name, (real, model) in pairs.items()
    ]
    lines += ["", f"Load of this machine, of {os.cpu_count()} cores, in the last minute: {os.getloadavg()[0]:.1f}"]
    return "\n".join(lines)


def _say(what: str) -> None:
    print(f"check: {what}", file=sys.stderr, flush=True)
