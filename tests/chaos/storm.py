"""A storm over the API's processes, and what the table says about it afterwards."""

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

import aiohttp

from stack.harness.accounts import make_account
from stack.harness.client import Answer, Request, send_all
from stack.harness.faults import STORM, FaultInjector
from stack.harness.history import Recorder
from stack.harness.ledger import Counters, TableReader
from stack.network import free_port, url_of
from stack.processes import ChildProcess, running
from stack.system import api_program, wait_for_api
from tests.chaos.clients import Processes, Tenant, client_session, run_clients

PROCESSES: Final = 4
CLIENTS: Final = 48
LIMITS: Final = (30, 100, 250)
"""Of the accounts: small enough that their limits are reached all the time."""

HEALED_WITHIN_S: Final = 30.0
STOPPED_S: Final = 8.0
"""How long one process is stopped: past every deadline (5 s) of what it had begun."""

_REMOVED_AFTER_S: Final = 0.5
"""A load balancer needs a moment to see that a process is gone."""

_POLL_S: Final = 1.0


class Verdict(NamedTuple):
    """What became of one account.

    Attributes:
        limit: Its limit.
        ledger: Services at the end.
        ledger_max: Most services at any instant.
        leaked: How far ``best_effort`` was above the ledger when the faults stopped.
        writes: Writes to its counter and ledger; after each of them the one-sided rule was checked.
        healed_after_s: Seconds from the end of the faults until both counters were the ledger's total; None for never.
        offences: What should never happen.
    """

    limit: int
    ledger: int
    ledger_max: int
    leaked: int
    writes: int
    healed_after_s: float | None
    offences: Sequence[str]


class StormReport(NamedTuple):
    """What a storm showed.

    Attributes:
        verdicts: For each account.
        answers: What clients got, in the order of arrival for each account.
        faults: How many calls met each kind of fault.
        calls: Calls from the API to DynamoDB.
        healings: Times that a counter was healed, during the storm and after it.
    """

    verdicts: Sequence[Verdict]
    answers: Sequence[Answer]
    faults: Counter[str]
    calls: int
    healings: int

    @property
    def offences(self) -> list[str]:
        """What should never happen."""
        return list(chain.from_iterable(verdict.offences for verdict in self.verdicts))


class StormFleet:
    """The API's processes, which can be killed and replaced.

    Attributes:
        processes: Where clients send their requests.
    """

    def __init__(self, stack: ExitStack, endpoint: str, table: TableReader, logs: Path) -> None:
        self._stack = stack
        self._endpoint = endpoint
        self._table = table
        self._logs = logs
        self._started = 0
        self._ports = {url_of(port): port for port in [free_port() for _ in range(PROCESSES)]}
        self._children = {url: self._start(port) for url, port in self._ports.items()}
        for url, port in self._ports.items():
            wait_for_api(self._children[url], port)
        self.processes = Processes(tuple(self._ports))

    async def disturb(self, seconds: float) -> None:
        """Kill two processes and stop a third one, spread over so many seconds."""
        first, second, third, _ = self._ports
        await asyncio.sleep(seconds * 0.2)
        await self._kill_and_replace(first)
        await asyncio.sleep(seconds * 0.15)
        await self._kill_and_replace(second)
        await asyncio.sleep(seconds * 0.1)
        await self._stop_and_continue(third)

    def healings(self) -> int:
        """Return how many healings the processes, also those that were killed, have logged."""
        return sum(log.read_text().count('"counter.healed"') for log in self._logs.glob("*/api-*.log"))

    def _start(self, port: int) -> ChildProcess:
        self._started += 1
        # A folder each: what a killed process wrote must not be overwritten by its replacement.
        logs = self._logs / str(self._started)
        return self._stack.enter_context(running(api_program(["api"], port, self._endpoint, self._table.name, logs)))

    async def _kill_and_replace(self, url: str) -> None:
        self.processes.fail(url)
        os.kill(self._children[url].pid, signal.SIGKILL)
        await asyncio.sleep(_REMOVED_AFTER_S)
        self.processes.remove(url)
        self._children[url] = self._start(self._ports[url])
        await asyncio.to_thread(wait_for_api, self._children[url], self._ports[url])
        self.processes.restore(url)

    async def _stop_and_continue(self, url: str) -> None:
        self.processes.fail(url)
        os.kill(self._children[url].pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(STOPPED_S)
        finally:
            os.kill(self._children[url].pid, signal.SIGCONT)
        self.processes.restore(url)


def run_storm(injector: FaultInjector, table: TableReader, logs: Path, seconds: float) -> StormReport:
    """Load four processes for so many seconds while everything fails, wait until all is well, and judge.

    Args:
        injector: Between the processes and the table.
        table: The table; its stream feeds the Lambda.
        logs: Folder for the processes' output.
        seconds: How long the load lasts.
    """
    with ExitStack() as stack:
        fleet = StormFleet(stack, injector.url, table, logs)
        return asyncio.run(_storm(injector, table, fleet, seconds))


async def _storm(injector: FaultInjector, table: TableReader, fleet: StormFleet, seconds: float) -> StormReport:
    recorder = Recorder(table)
    tenants = [await _make_full_tenant(fleet.processes.urls[0], limit) for limit in LIMITS]
    calls_before = injector.calls()
    injector.inject(STORM)
    await asyncio.gather(run_clients(fleet.processes, tenants, CLIENTS, seconds), fleet.disturb(seconds))
    injector.inject({})
    faults, calls = injector.counts(), injector.calls() - calls_before
    leaks = [
        table.counters(tenant.account_id).best_effort - len(table.entries(tenant.account_id)) for tenant in tenants
    ]
    async with client_session(len(tenants)) as session:
        healed = await asyncio.gather(*(_wait_until_healed(tenant, fleet, table, session) for tenant in tenants))
    verdicts = [
        _judge(tenant, table, recorder, leaked, healed_after_s)
        for tenant, leaked, healed_after_s in zip(tenants, leaks, healed, strict=True)
    ]
    answers = list(chain.from_iterable(tenant.answers for tenant in tenants))
    return StormReport(verdicts, answers, faults, calls, fleet.healings())


def _leaked(account_id: str, table: TableReader) -> int:
    return table.counters(account_id).best_effort - len(table.entries(account_id))


async def _make_full_tenant(url: str, limit: int) -> Tenant:
    """Make an account and fill it, so that the limit is in the way from the first request on."""
    # Seeded, so that a run's clients do the same again; what the faults hit is chance.
    tenant = Tenant(await asyncio.to_thread(make_account, url, limit), limit, Random(limit))
    create = Request("POST", f"{url}/services", tenant.create_body(None))
    filling = await send_all([create] * limit, CLIENTS)
    tenant.told.alive.update(json.loads(answer.body)["id"] for answer in filling.answers)
    return tenant


async def _wait_until_healed(
    tenant: Tenant, fleet: StormFleet, table: TableReader, session: aiohttp.ClientSession
) -> float | None:
    """Do what users do until both counters are the ledger's total; return the seconds that took."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    while (waited_s := loop.time() - start) < HEALED_WITHIN_S:
        total = len(table.entries(tenant.account_id))
        counters = table.counters(tenant.account_id)
        if counters == Counters(total, total):
            return waited_s
        if counters.best_effort >= tenant.limit:
            # Refused although there is room: the refusal itself heals.
            await tenant.create(fleet.processes, session, None)
        else:
            path = f"/accounts/{tenant.account_id}/counters/services/reconcile"
            await fleet.processes.send(session, Request("POST", path))
        await asyncio.sleep(_POLL_S)
    return None


def _judge(
    tenant: Tenant, table: TableReader, recorder: Recorder, leaked: int, healed_after_s: float | None
) -> Verdict:
    past = recorder.past(tenant.account_id)
    entries = table.entries(tenant.account_id)
    told = tenant.told
    unknown = entries - told.alive - told.in_doubt - told.deleted
    offences = [*tenant.offences]
    offences += [f"one-sided rule broken: {instant}" for instant in past.instants if instant.breaks_one_sided_rule()]
    offences += [f"acknowledged, and lost: {service_id}" for service_id in told.alive - entries]
    offences += [f"deleted, and there: {service_id}" for service_id in told.deleted & entries]
    if len(unknown) > len(told.nameless):
        offences.append(f"{len(unknown)} services that nobody asked for, or {len(told.nameless)} at most")
    if entries != past.entries:
        offences.append("the stream does not tell all that happened, so it proves nothing")
    if healed_after_s is None:
        offences.append(f"not healed: {table.counters(tenant.account_id)}, ledger {len(entries)}")
    ledger_max = max(instant.ledger for instant in past.instants)
    where = f"account {tenant.account_id}"
    return Verdict(
        limit=tenant.limit,
        ledger=len(entries),
        ledger_max=ledger_max,
        leaked=leaked,
        writes=len(past.instants),
        healed_after_s=healed_after_s,
        offences=[f"{where}: {offence}" for offence in offences],
    )
