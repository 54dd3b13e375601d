"""The API with one route more, ``GET /usage``: ``python -m load.server strict|plain [units]``.

Everything else is what ``python -m api`` runs, settings and all; ``plain`` replaces how an entry is created. With
``units`` the route also tells what AWS would bill, which costs some speed.
"""

import os
import sys

import uvloop
from litestar import get

from api.app import create_app
from api.server import make_engine, serve
from api.settings import load_settings
from counters.dynamodb import open_store
from counters.logs import configure_logging
from load.plain import plain_engine
from load.usage import Meter, Usage


def main() -> None:
    """Run until a signal ends it."""
    configure_logging("WARNING")
    strategy, *rest = sys.argv[1:]
    uvloop.run(_serve(plain=strategy == "plain", units=rest == ["units"]))


async def _serve(*, plain: bool, units: bool) -> None:
    settings = load_settings(os.environ)
    async with open_store(settings.table_name, settings.try_timeout_s) as store:
        meter = Meter(store.client, units=units)
        engine = make_engine(store, settings)
        app = create_app(plain_engine(engine, store, settings.table_name) if plain else engine)

        @get("/usage")
        async def read_usage() -> Usage:
            return meter.usage

        app.register(read_usage)
        await serve(app, settings)


if __name__ == "__main__":
    main()
