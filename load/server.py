"""The API with one route more, ``GET /calls``: ``python -m load.server strict`` or ``plain``.

Everything else is what ``python -m api`` runs, settings and all; ``plain`` replaces how an entry is created.
"""

import os
import sys
from collections import Counter
from typing import TYPE_CHECKING

import uvloop
from litestar import get

from api.app import create_app
from api.server import make_engine, serve
from api.settings import load_settings
from counters.dynamodb import open_store
from counters.logs import configure_logging
from load.plain import plain_engine

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient


def main() -> None:
    """Run until a signal ends it."""
    configure_logging("WARNING")
    uvloop.run(_serve(plain=sys.argv[1:] == ["plain"]))


async def _serve(*, plain: bool) -> None:
    settings = load_settings(os.environ)
    async with open_store(settings.table_name, settings.try_timeout_s) as store:
        calls = _count_calls(store.client)
        engine = make_engine(store, settings)
        app = create_app(plain_engine(engine, store, settings.table_name) if plain else engine)

        @get("/calls")
        async def read_calls() -> dict[str, int]:
            return dict(calls)

        app.register(read_calls)
        await serve(app, settings)


def _count_calls(client: "DynamoDBClient") -> Counter[str]:
    """Return a count, by operation, that follows every request that the client sends."""
    calls: Counter[str] = Counter()

    def count(event_name: str, **_: object) -> None:
        calls[event_name.rpartition(".")[2]] += 1

    client.meta.events.register("before-send.dynamodb", count)
    return calls


if __name__ == "__main__":
    main()
