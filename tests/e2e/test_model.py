"""The model against the emulator, where both can run: one process, 64 callers.

The emulator has no limits, so this checks time and batching, not contention. From what single calls cost on this
machine the model tells how fast the whole is and how large batches become; then the whole is measured.
"""

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

import pytest
import uvloop

from counters.engine import Engine, EngineSettings
from counters.keys import SERVICES, CounterKey, Ledger, id_at
from counters.model import Change, Entry
from counters.stores.dynamodb import DynamoClient, DynamoStore, open_client
from counters.stores.memory import MemoryStore
from counters.stores.port import Store
from counters.values.ids import new_page_id
from load.model.assumptions import Call, Cost, CpuCosts
from load.model.run import run
from load.model.scenario import ModelStrategy, Scenario, ScenarioResult
from load.tables import FigureTable
from stack import aws
from stack.emulators import ministack
from stack.harness.usage import Meter
from stack.network import free_port, url_of
from stack.provision import create_table

pytestmark = pytest.mark.long

CALLERS: Final = 64
ROUNDS: Final = 5
ROUND_S: Final = 3.0
SLOTS: Final = 64
"""As many as there can be, so that none of the model's limits is reached: the emulator has none."""

PAGE_SIZE: Final = 40

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

    def __init__(self, update: Cost, page: Cost) -> None:
        self._update = update
        self._page = page
        self._free_at = 0.0

    def answered_at(self, call: Call, items: int, sent_at: float) -> float:
        """See ``Network``."""
        cost = self._page if call is Call.PUT else self._update
        self._free_at = max(sent_at, self._free_at) + cost.of_s(items)
        return self._free_at


def test_the_model_sends_as_many_calls_as_the_engine_does_on_the_emulator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Times are only shown (``pytest -s``): they depend on who else is at work."""
    port = free_port()
    with ministack(port, tmp_path / "ministack.log"):
        table = create_table(url_of(port))
        for name, value in aws.environment(url_of(port)).items():
            monkeypatch.setenv(name, value)
        text, measured, modelled = uvloop.run(_measure(table))
    with capsys.disabled():
        print(f"\n{text}")  # noqa: T201
    assert modelled.calls_per_create == pytest.approx(measured.calls_per_create, rel=0.35)


async def _measure(table: str) -> tuple[str, Speed, ScenarioResult]:
    request_ms = await _engine_ms()
    async with open_client() as client:
        meter = Meter(client.send, units=False)
        store = DynamoStore(DynamoClient(meter.send), table)
        update, single, full = await _probe_calls(store)
        rounds = [await _play_round(store, meter) for _ in range(ROUNDS)]
    measured = Speed(*(statistics.median(column) for column in zip(*rounds, strict=True)))
    cpu = CpuCosts(request_ms=request_ms, call=_line(single.client_ms, full.client_ms), batch=Cost(0.0))
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
    modelled = await asyncio.to_thread(run, scenario, lambda _: EmulatorNetwork(*server).answered_at)
    return _to_markdown(request_ms, (update, single, full), measured, modelled), measured, modelled


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
    """Return what an update costs, and pages of one entry and of many."""
    _, key = await _engine_on(store)
    random = Random(0)
    change = Change(delta=1, admits=True, limit=_LIMIT, epoch=None, at_ms=0)

    def page(size: int) -> Callable[[], Awaitable[object]]:
        first = 1 if size > 1 else 0

        def insert() -> Awaitable[object]:
            page_id = new_page_id(0, random)
            places = range(first, first + size)
            entries = [Entry(id=id_at(page_id, place), name="load", created_at_ms=0) for place in places]
            return store.insert_page(Ledger(key, SLOTS), entries)

        return insert

    update = await _probe(lambda: store.change_counter(key, change))
    return update, await _probe(page(1)), await _probe(page(PAGE_SIZE))


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
        random=Random(0),
        settings=EngineSettings(services_slots=SLOTS),
    )
    view = await engine.accounts.create("load", _LIMIT)
    return engine, CounterKey(view.account.id, SERVICES)


def _cuts(values: Sequence[float]) -> tuple[float, float]:
    cuts = statistics.quantiles(values, n=100)
    return cuts[49], cuts[98]


def _line(single_ms: float, full_ms: float) -> Cost:
    """Return the cost that is right for one entry and for a full page."""
    item_ms = max(0.0, full_ms - single_ms) / (PAGE_SIZE - 1)
    return Cost(single_ms - item_ms, item_ms)


def _to_markdown(request_ms: float, probes: Sequence[Probe], measured: Speed, modelled: ScenarioResult) -> str:
    names = ("UpdateItem", "a page of 1", f"a page of {PAGE_SIZE}")
    calls = [[name, f"{one.client_ms:.2f}", f"{one.server_ms:.2f}"] for name, one in zip(names, probes, strict=True)]
    pairs = {
        "creates/s": (measured.creates_per_s, modelled.creates_per_s),
        "calls/create": (measured.calls_per_create, modelled.calls_per_create),
        "processor ms/create": (measured.core_ms, 1000 * modelled.core / modelled.creates_per_s),
        "p50 ms": (measured.p50_ms, modelled.p50_ms),
        "p99 ms": (measured.p99_ms, modelled.p99_ms),
    }
    figures = [[name, f"{a:.4g}", f"{b:.4g}", f"{b / a - 1:+.0%}"] for name, (a, b) in pairs.items()]
    tables = (
        FigureTable(
            ("one at a time", "client, ms of processor", "emulator, ms"),
            [["a create, less its calls", f"{request_ms:.3f}", ""], *calls],
        ),
        FigureTable((f"{CALLERS} callers", "measured", "modelled", "difference"), figures),
    )
    load = f"Load of this machine, of {os.cpu_count()} cores, in the last minute: {os.getloadavg()[0]:.1f}"
    return "\n\n".join([*(table.to_markdown() for table in tables), load])
