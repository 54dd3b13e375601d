"""The API with two routes more, ``GET /usage`` and ``POST /empty``: ``python -m load.server ENTRIES [units] [sdk]``.

``ENTRIES`` says how entries are created and deleted: ``engine``, as ``python -m api`` does, or the name of a baseline.
All else, HTTP and settings, is the same. With ``units`` the route also tells what AWS would bill, which costs some
speed. With ``sdk`` the calls to DynamoDB are made by the AWS SDK, as an application would, and not by the service's own
client, which costs a third.
"""

import os
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from random import SystemRandom
from typing import Final

import uvloop
from litestar import get, post
from litestar.params import JSONBody

from api.app import create_app
from api.backend import Backend
from api.schemas.services import ServiceCreate
from api.serving.server import make_engine, serve
from api.settings import ApiSettings, load_settings
from counters.logs import configure_logging
from counters.stores.dynamodb import DynamoClient, DynamoStore, open_client
from load.compare.baselines.backend import make_backend
from load.compare.baselines.entries import BASELINES
from load.compare.baselines.sdk import open_sdk
from load.compare.baselines.table import make_table
from stack.harness.usage import Meter, Usage

ENGINE: Final = "engine"
UNITS: Final = "units"
SDK: Final = "sdk"


def main() -> None:
    """Run until a signal ends it."""
    match sys.argv[1:]:
        case [entries, *options] if entries in {ENGINE, *BASELINES} and {*options} <= {UNITS, SDK}:
            configure_logging("WARNING")
            uvloop.run(_serve(entries, units=UNITS in options, open_client=open_sdk if SDK in options else open_client))
        case _:
            sys.exit(f"usage: python -m load.server {'|'.join([ENGINE, *BASELINES])} [{UNITS}] [{SDK}]")


async def _serve(
    entries: str, *, units: bool, open_client: Callable[[float], AbstractAsyncContextManager[DynamoClient]]
) -> None:
    settings = load_settings(os.environ)
    async with open_client(settings.try_timeout_s) as client:
        meter = Meter(client.send, units=units)
        app = create_app(_make_backend(entries, DynamoClient(meter.send), settings))

        @get("/usage")
        async def read_usage() -> Usage:
            return meter.usage

        @post("/empty")
        async def do_nothing(data: JSONBody[ServiceCreate]) -> None:
            """Take a body and answer 201: all that the server costs without us."""

        app.register(read_usage)
        app.register(do_nothing)
        await serve(app, settings)


def _make_backend(entries: str, client: DynamoClient, settings: ApiSettings) -> Backend:
    if entries == ENGINE:
        store = DynamoStore(client, settings.table_name, own_ids_in_batches=settings.own_ids_in_batches)
        return make_engine(store, settings)
    return make_backend(entries, make_table(client, settings.table_name, SystemRandom()))


if __name__ == "__main__":
    main()
