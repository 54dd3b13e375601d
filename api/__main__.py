"""Runs the service: ``python -m api``.

On SIGTERM it stops accepting, finishes the requests in flight, flushes what was admitted, closes the database client
and exits with 0.
"""

import logging
import os
import sys
from contextlib import AsyncExitStack
from typing import Final

import uvloop

from api.app import create_app
from api.documentation import VERSION
from api.server import make_engine, serve
from api.settings import Settings, SettingsError, load_settings
from counters.dynamodb import open_store
from counters.errors import StoreRejectedError
from counters.logs import configure_logging

_MISCONFIGURED: Final = 2

logger = logging.getLogger("api")


def main() -> None:
    """Run until a signal ends it; exit with 2 when it cannot start with these settings."""
    try:
        settings = load_settings(os.environ)
        configure_logging(settings.log_level)
        for sdk in ("aiobotocore", "botocore"):
            # Below warnings, the SDK logs every call with its payload.
            logging.getLogger(sdk).setLevel(logging.WARNING)
        uvloop.run(_serve(settings))
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(_MISCONFIGURED)


async def _serve(settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        try:
            store = await stack.enter_async_context(open_store(settings.table_name, settings.try_timeout_s))
        except StoreRejectedError as error:
            raise SettingsError("AWS_REGION, AWS_ENDPOINT_URL and the like", str(error)) from error
        logger.info("api.starting", extra={"fields": {"version": VERSION, "table_name": settings.table_name}})
        await serve(create_app(make_engine(store, settings)), settings)


if __name__ == "__main__":
    main()
