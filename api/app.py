"""The application: routes, error mapping and documentation around a backend."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from litestar import Litestar
from litestar.datastructures import State

from api.backend import Backend
from api.controllers.accounts import AccountsController
from api.controllers.counters import AccountCountersController, CountersController
from api.controllers.health import HealthController
from api.controllers.services import AccountServicesController, ServicesController
from api.explorer.controller import ExplorerController
from api.http.documentation import make_openapi_config
from api.http.methods import answer_head_and_options
from api.http.problems import answer_error
from api.http.requests import JsonRequest, refuse_unknown_query

DRAIN_TIMEOUT_S: Final = 10.0
"""How long a stopping process waits for its admitted operations; above their longest deadline."""

logger = logging.getLogger(__name__)


def create_app(backend: Backend) -> Litestar:
    """Return the application over this backend, which is drained when the application stops."""

    @asynccontextmanager
    async def drain_at_the_end(_: Litestar) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await _drain(backend)

    app = Litestar(
        route_handlers=[
            AccountsController,
            AccountServicesController,
            ServicesController,
            CountersController,
            AccountCountersController,
            HealthController,
            ExplorerController,
        ],
        exception_handlers={Exception: answer_error},
        lifespan=[drain_at_the_end],
        openapi_config=make_openapi_config(),
        state=State({"backend": backend}),
        request_class=JsonRequest,
        before_request=refuse_unknown_query,
        # Errors are logged where they are answered. The framework would log a traceback for every 404.
        logging_config=None,
        # Otherwise environment variables of the framework decide about these.
        debug=False,
        pdb_on_exception=False,
    )
    app.asgi_handler = answer_head_and_options(app)
    return app


async def _drain(backend: Backend) -> None:
    try:
        async with asyncio.timeout(DRAIN_TIMEOUT_S):
            await backend.drain()
    except TimeoutError:
        logger.exception("drain.timed_out", extra={"fields": {"timeout_s": DRAIN_TIMEOUT_S}})
    else:
        logger.info("drain.finished")
