"""What every process of the service does: settings, logs, a store and an engine over it, then its work."""

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final

import uvloop

from api.serving.server import make_engine
from api.settings import ApiSettings, ApiSettingsError, load_settings
from counters.engine import Engine
from counters.errors import StoreError, StoreRejectedError, TableLayoutError
from counters.logs import configure_logging
from counters.stores.dynamodb import DynamoStore, open_store

_MISCONFIGURED: Final = 2
_LOOK_S: Final = 1.0


def run(work: Callable[[Engine, ApiSettings], Awaitable[None]]) -> None:
    """Do a process's work with its own engine; exit with 2 when it cannot start with these settings."""
    try:
        settings = load_settings(os.environ)
        configure_logging(settings.log_level)
        for sdk in ("aiobotocore", "aiodynamo", "botocore"):
            # Below warnings, the SDK logs every call with its payload.
            logging.getLogger(sdk).setLevel(logging.WARNING)
        # It writes a traceback each time that credentials cannot be renewed; ours says so in one line a minute.
        logging.getLogger("aiobotocore.credentials").setLevel(logging.ERROR)
        uvloop.run(_with_engine(settings, work))
    except ApiSettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(_MISCONFIGURED)


async def _with_engine(settings: ApiSettings, work: Callable[[Engine, ApiSettings], Awaitable[None]]) -> None:
    async with AsyncExitStack() as stack:
        try:
            store = await stack.enter_async_context(
                open_store(settings.table_name, settings.try_timeout_s, own_ids_in_batches=settings.own_ids_in_batches)
            )
        except StoreRejectedError as error:
            raise ApiSettingsError("AWS_REGION, AWS_ENDPOINT_URL and the like", str(error)) from error
        await _check_layout(store)
        await work(make_engine(store, settings), settings)


async def _check_layout(store: DynamoStore) -> None:
    try:
        async with asyncio.timeout(_LOOK_S):
            await store.ping()
    except TableLayoutError as error:
        raise ApiSettingsError("TABLE_NAME", str(error)) from error
    except (StoreError, TimeoutError):
        # Nobody can tell yet. The process is not ready until somebody can.
        return
