"""What a process asks DynamoDB when nobody asks it anything."""

import time
from typing import Final

import uvloop

from load.command import progress
from load.server import ENGINE
from load.targets.findings import Finding, Measurement
from load.targets.servers import bench, create
from stack.harness.accounts import make_account
from stack.harness.client import send_all
from stack.harness.usage import read_usage
from stack.provision import create_table

_CONNECTIONS: Final = 8
_SETTLED_S: Final = 2.0
_IDLE_S: Final = 30.0


def measure() -> Measurement:
    """Create something, wait a moment, and count the calls of the next half minute. Nobody asks for its health.

    Raises:
        StackError: Something did not start.
    """
    with bench() as its:
        server = its.serve(create_table(its.dynamodb.url), ["load.server", ENGINE])
        uvloop.run(send_all([create(server.url, make_account(server.url))] * 100, _CONNECTIONS))
        time.sleep(_SETTLED_S)
        progress(f"idle: {_IDLE_S:.0f} s")
        before = uvloop.run(read_usage(server.url))
        time.sleep(_IDLE_S)
        calls = (uvloop.run(read_usage(server.url)) - before).total_calls
    return Measurement(target="idle", findings=[Finding.at_most(f"DynamoDB calls in {_IDLE_S:.0f} idle s", calls, 0)])
