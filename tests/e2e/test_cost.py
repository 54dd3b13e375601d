"""What a busy counter costs in calls to DynamoDB."""

import asyncio
from pathlib import Path

import pytest

from load.server import ENGINE
from stack.harness.client import send_for
from stack.harness.usage import read_usage
from stack.system import System
from tests.support.services import ids_of, make_service, send
from tests.support.systems import api_process

pytestmark = pytest.mark.long


def test_refused_callers_cost_few_calls(stack: System, tmp_path: Path) -> None:
    """200 connections hammer a full counter for 10 s; the client in the API process counts what it sends."""
    with api_process(stack, ["load.server", ENGINE], tmp_path) as (url, _):
        service = make_service(stack, limit=1)._replace(urls=[url])
        ids_of(send([service.create(0)]))
        before = asyncio.run(read_usage(url))
        outcome = asyncio.run(send_for([service.create(1)], 200, 10.0))
        used = asyncio.run(read_usage(url)) - before
    assert set(outcome.statuses) == {409}
    assert outcome.statuses[409] > 1_000, "too few callers to prove anything"
    assert 0 < used.total_calls <= 100 * outcome.elapsed_s + 1
