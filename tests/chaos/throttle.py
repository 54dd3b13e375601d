"""What callers notice when DynamoDB throttles: latency, and nothing else."""

import asyncio
import json
from pathlib import Path
from typing import Final, NamedTuple

from stack.harness.accounts import make_account
from stack.harness.client import Outcome, Request, send_for
from stack.harness.faults import FaultInjector, throttle
from stack.harness.ledger import TableReader
from stack.network import free_port, url_of
from stack.processes import running
from stack.system import api_program, wait_for_api

CONNECTIONS: Final = 64
SHARE: Final = 0.3


class Throttled(NamedTuple):
    """The same load without and with throttling.

    Attributes:
        account_id: Whose services were made.
        calm: With nothing throttled.
        throttled: With 30 percent of all calls throttled.
        faults: Calls that were throttled.
        calls: Calls while throttling was on.
    """

    account_id: str
    calm: Outcome
    throttled: Outcome
    faults: int
    calls: int


def run_throttled(injector: FaultInjector, table: TableReader, logs: Path, seconds: float) -> Throttled:
    """Create on one account through one process: for so many seconds in calm, and for as many while throttled."""
    port = free_port()
    with running(api_program(["api"], port, injector.url, table.name, logs)) as process:
        wait_for_api(process, port)
        return asyncio.run(_run(url_of(port), injector, seconds))


async def _run(url: str, injector: FaultInjector, seconds: float) -> Throttled:
    account_id = await asyncio.to_thread(make_account, url)
    create = Request("POST", f"{url}/services", json.dumps({"account_id": account_id, "name": "throttled"}).encode())
    calm = await send_for([create], CONNECTIONS, seconds)
    calls_before, faults_before = injector.calls(), injector.counts().total()
    injector.inject(throttle(SHARE))
    throttled = await send_for([create], CONNECTIONS, seconds)
    injector.inject({})
    faults = injector.counts().total() - faults_before
    return Throttled(account_id, calm, throttled, faults, injector.calls() - calls_before)
