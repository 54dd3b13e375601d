"""What every process of the service does: settings, logs, a store and an engine over it, then its work."""

import logging
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final

import uvloop

from api.serving.server import make_engine
from api.settings import Settings, SettingsError, load_settings
from counters.engine import Engine
from counters.errors import StoreRejectedError
from counters.logs import configure_logging
from counters.stores.dynamodb import open_store

_MISCONFIGURED: Final = 2


def run(work: Callable[[Engine, Settings], Awaitable[None]]) -> None:
    """Do a process's work with an engine of its own; exit with 2 when it cannot start with these settings."""
    try:
        settings = load_settings(os.environ)
        configure_logging(settings.log_level)
        for sdk in ("aiobotocore", "aiodynamo", "botocore"):
            # Below warnings, the SDK logs every call with its payload.
            logging.getLogger(sdk).setLevel(logging.WARNING)
        # It writes a traceback each time that credentials cannot be renewed; ours says so in one line a minute.
        logging.getLogger("aiobotocore.credentials").setLevel(logging.ERROR)
        uvloop.run(_with_engine(settings, work))
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(_MISCONFIGURED)


async def _with_engine(settings: Settings, work: Callable[[Engine, Settings], Awaitable[None]]) -> None:
    async with AsyncExitStack() as stack:
        try:
            store = await stack.enter_async_context(open_store(settings.table_name, settings.try_timeout_s))
        except StoreRejectedError as error:
            raise SettingsError("AWS_REGION, AWS_ENDPOINT_URL and the like", str(error)) from error
        await work(make_engine(store, settings), settings)
