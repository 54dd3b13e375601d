"""Runs the service: ``python -m api``.

On SIGTERM it stops accepting, finishes the requests in flight, flushes what was admitted, closes the database client
and exits with 0.
"""

import logging

from api.app import create_app
from api.http.documentation import VERSION
from api.serving.process import run
from api.serving.server import serve
from api.settings import ApiSettings
from counters.engine import Engine

logger = logging.getLogger("api")


async def _serve(engine: Engine, settings: ApiSettings) -> None:
    logger.info("api.starting", extra={"fields": {"version": VERSION, "table_name": settings.table_name}})
    await serve(create_app(engine), settings)


if __name__ == "__main__":
    run(_serve)
