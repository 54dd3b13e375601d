"""Runs one scenario."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from copy import copy
from random import Random

from load.model.client import ModelClient, Network, aws_network
from load.model.processes import ModelAccounts, ModelProcess, make_process
from load.model.scenario import Scenario, ScenarioResult
from load.model.store import settle
from load.model.table import ModelTable, ModelUsage
from stack.harness.virtual_time import run_in_virtual_time


def run(scenario: Scenario, network: Callable[[Random], Network] = aws_network) -> ScenarioResult:
    """Run a scenario in virtual time; the same scenario has the same result every time.

    Args:
        scenario: What to run.
        network: Makes what decides how long calls take, from a source of randomness.
    """
    return run_in_virtual_time(_run(scenario, network))


async def _run(scenario: Scenario, make_network: Callable[[Random], Network]) -> ScenarioResult:
    table = ModelTable()
    accounts = ModelAccounts(scenario)
    await accounts.store(table, scenario)
    network = make_network(_random(scenario, "network"))
    clients = [
        ModelClient(table, network, scenario.cpu, _random(scenario, f"process {number}"))
        for number in range(scenario.processes)
    ]
    processes = [make_process(client, scenario) for client in clients]
    # Kept, as the event loop alone would let them go.
    load = [asyncio.create_task(one) for process in processes for one in _load(process, accounts, scenario)]
    load.append(asyncio.create_task(settle(table)))
    await asyncio.sleep(scenario.warm_up_s)
    for process in processes:
        process.forget()
    before = copy(table.usage)
    worked_s = sum(client.core.worked_s for client in clients)
    await asyncio.sleep(scenario.window_s)
    worked_s = sum(client.core.worked_s for client in clients) - worked_s
    overshoot = max(0, max(table.entries.values(), default=0) - scenario.limit)
    result = _result(scenario, processes, table.usage.since(before), worked_s, overshoot)
    await _end()
    return result


def _random(scenario: Scenario, purpose: str) -> Random:
    return Random(f"{scenario.seed} {purpose}")  # noqa: S311 - the same seed must do the same


def _load(process: ModelProcess, accounts: ModelAccounts, scenario: Scenario) -> list[Coroutine[None, None, None]]:
    pick = accounts.picker(process.client.random)
    if scenario.callers:
        return [process.call(pick) for _ in range(scenario.callers)]
    return [process.receive(pick, scenario.rate_per_s / scenario.processes)]


async def _end() -> None:
    """End everything that still runs: engines work on for as long as there is something to write."""
    running = asyncio.all_tasks() - {asyncio.current_task()}
    while running:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        running = asyncio.all_tasks() - {asyncio.current_task()}


def _result(
    scenario: Scenario, processes: Sequence[ModelProcess], usage: ModelUsage, worked_s: float, overshoot: int
) -> ScenarioResult:
    latencies_s = sorted(latency_s for process in processes for latency_s in process.latencies_s)
    created = len(latencies_s)
    errors = sum(process.errors for process in processes)
    answers = created + errors + sum(process.refused for process in processes)
    fewest = min(len(process.latencies_s) for process in processes)
    return ScenarioResult(
        scenario=scenario,
        creates_per_s=created / scenario.window_s,
        p50_ms=_share_ms(latencies_s, 0.5),
        p99_ms=_share_ms(latencies_s, 0.99),
        errors=errors / answers if answers else 0.0,
        calls_per_create=_per(usage.calls, created),
        throttled_per_s=usage.throttled / scenario.window_s,
        conflicts_per_s=usage.conflicts / scenario.window_s,
        flushes_per_s=usage.flushes / scenario.window_s,
        write_units=_per(usage.write_units, created),
        settle_units=_per(usage.settle_units, created),
        read_units=_per(usage.read_units, created),
        dollars_per_million=_per(usage.dollars, created) * 1e6,
        least_share=_per(fewest * len(processes), created),
        core=worked_s / scenario.window_s / len(processes),
        overshoot=overshoot,
    )


def _share_ms(ordered_s: Sequence[float], share: float) -> float:
    return 1000 * ordered_s[min(len(ordered_s) - 1, int(share * len(ordered_s)))] if ordered_s else 0.0


def _per(amount: float, created: int) -> float:
    return amount / created if created else 0.0
