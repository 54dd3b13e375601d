"""``python -m api.sweep`` heals what drifted in a real table, tells so in one line and ends well."""

import asyncio
import json
import os
import sys
from pathlib import Path

import msgspec
import pytest

from counters.keys import SERVICES, CounterKey
from counters.stores.dynamodb import open_store
from stack.provision import create_table
from tests.support import factories

ROOT = Path(__file__).parents[2]


async def test_the_process_heals_and_reports(ministack_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", ministack_endpoint)
    table_name = create_table(ministack_endpoint)
    account = factories.account()
    # Untouched since 1970.
    counter = msgspec.structs.replace(
        factories.counter(CounterKey(account.id, SERVICES), best_effort=3), touched_at_ms=0
    )
    async with open_store(table_name) as store:
        await store.ping()
        await store.create_account(account, counter)

        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "api.sweep",
            cwd=ROOT,
            env=os.environ | {"TABLE_NAME": table_name, "LOG_LEVEL": "INFO"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        stdout, stderr = await process.communicate()
        healed = await store.read_counter(counter.key)

    assert (process.returncode, stderr) == (0, b"")
    [report] = [line for line in map(json.loads, stdout.splitlines()) if line["event"] == "sweep.finished"]
    del report["time"], report["level"], report["event"]
    found = {"looked_at": 1, "best_effort": 3, "eventual": 0, "drift": 3, "drifted": 1, "drifted_quiet": 1}
    assert report == {**found, "healed": 1, "damaged": 0, "repaired": 0, "busy": 0, "failed": 0, "next_cursor": None}
    assert healed is not None
    assert (healed.best_effort, healed.epoch) == (0, 1)
