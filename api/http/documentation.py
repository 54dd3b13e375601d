"""The OpenAPI document: what the code cannot say by itself."""

from http import HTTPStatus
from typing import Final

from litestar import Response, Router
from litestar.datastructures import ResponseHeader
from litestar.enums import HttpMethod
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.openapi.spec import Example, Tag
from litestar.types import Method
from litestar.types.internal_types import PathParameterDefinition

from api.http.openapi import Document
from api.schemas.accounts import AccountCreate, AccountPage, AccountResponse, AccountUpdate
from api.schemas.counters import Count, CountPage
from api.schemas.deletions import DeletionPart
from api.schemas.health import Alive, Ready
from api.schemas.problems import PROBLEM_MEDIA_TYPE, Problem, ProblemKind
from api.schemas.reconciliations import CounterState, Reconciliation, Repair
from api.schemas.services import ServiceCreate, ServicePage, ServiceResponse, ServiceUpdate

VERSION: Final = "0.1.0"

_DESCRIPTION: Final = """\
Counts what the accounts of a SaaS backend use, at once and exactly, and keeps each account within its limit however \
many callers create at the same time.

Errors are `application/problem+json` (RFC 9457); their `type` is stable. After a 503 with `Retry-After`, try again \
after so many seconds: a create under an `id` of your own is safe to repeat. The one without it, `counter-damaged`, \
wants a reconcile first.

What is not HTTP/1.1 as it must be is answered 400 before any operation sees it, with the `type` \
`urn:distributed-counter:problem:malformed-request`.

Every answer has an `X-Request-Id`, which is also in the service's log: the request's own, if it had one of up to 128 \
letters, digits and `._:/+=@-`, or a new one.
"""

_TAGS: Final = [
    Tag("accounts", "The owners of counters. Every account is born with a counter named `services`."),
    Tag("services", "What the counter `services` counts. A create is refused when the account's limit is reached."),
    Tag("counts", "Counters as they are: what enforcement sees, and how far it is from the exact count."),
    Tag("counters", "Counters set right: recounted, and healed where they differ from what they count."),
    Tag("health", "Whether the process is alive and can serve."),
]

SCHEMAS: Final = (
    AccountResponse,
    AccountCreate,
    AccountPage,
    AccountUpdate,
    Alive,
    Count,
    CountPage,
    CounterState,
    DeletionPart,
    Problem,
    Ready,
    Reconciliation,
    Repair,
    ServiceResponse,
    ServiceCreate,
    ServicePage,
    ServiceUpdate,
)

LOCATION: Final = ResponseHeader(
    name="Location", value="/", description="Path of what was made.", documentation_only=True
)

DELETED: Final = ResponseSpec(None, generate_examples=False, description="All is deleted.")
DELETED_IN_PART: Final = "A part is deleted, as the time was too short for all: repeat the request."

_EXAMPLES: Final[dict[ProblemKind, dict[str, object]]] = {
    # Each operation has its own example of these, made when the document is rendered.
    ProblemKind.INVALID_INPUT: {},
    ProblemKind.ACCOUNT_NOT_FOUND: {"detail": "There is no account 0197f0b2-6a10-7c3e-9d2f-3b1c5a7e9f10."},
    ProblemKind.COUNTER_NOT_FOUND: {
        "detail": "There is no counter seats of account 0197f0b2-6a10-7c3e-9d2f-3b1c5a7e9f10."
    },
    ProblemKind.SERVICE_NOT_FOUND: {"detail": "There is no service 0197f0b3-14c8-8f6a-8e21-4d5c6b7a8f83."},
    ProblemKind.LIMIT_REACHED: {
        "detail": "The limit of 5000 is reached: 5000 in use.",
        "limit": 5000,
        "value": 5000,
    },
    ProblemKind.CHANGE_CONFLICT: {
        "detail": "Somebody else changed this at the same time. Read it, and change it again if need be."
    },
    ProblemKind.COUNTER_BUSY: {
        "detail": "Healing takes several steps, and the next one comes later. Try again after the time in Retry-After."
    },
    ProblemKind.BODY_TOO_LARGE: {"detail": "The body must not be longer than 16384 bytes."},
    ProblemKind.UNSUPPORTED_MEDIA_TYPE: {"detail": "The body must be application/json."},
    ProblemKind.INTERNAL_ERROR: {
        "detail": "The error was logged under this instance.",
        "instance": "urn:uuid:5f0c1e0e-7d8a-4b57-9c52-6c0a6b0f5d11",
    },
    ProblemKind.OVERLOADED: {"detail": "The operation ran out of time; try again."},
    ProblemKind.COUNTER_DAMAGED: {
        "detail": "The counter services of account 0197f0b2-6a10-7c3e-9d2f-3b1c5a7e9f10 is damaged: best_effort "
        "cannot be read. Reconcile it. POST /accounts/0197f0b2-6a10-7c3e-9d2f-3b1c5a7e9f10/counters/services/reconcile"
    },
    ProblemKind.NOT_READY: {"detail": "The table cannot be reached."},
    ProblemKind.REQUEST_TIMEOUT: {"detail": "The body was not complete in time."},
    ProblemKind.HEAD_TOO_LARGE: {"detail": "There must not be more than 100 headers."},
    ProblemKind.STOPPING: {"detail": "The process stopped before the request was done."},
    ProblemKind.TOO_MANY_CONNECTIONS: {"detail": "Too many connections are open."},
}

_SERVER_PROBLEMS: Final = (
    ProblemKind.REQUEST_TIMEOUT,
    ProblemKind.HEAD_TOO_LARGE,
    ProblemKind.STOPPING,
    ProblemKind.TOO_MANY_CONNECTIONS,
)
"""What any request may be answered with before it reaches the application."""

_BODY_PROBLEMS: Final = (
    ProblemKind.INVALID_INPUT,
    ProblemKind.BODY_TOO_LARGE,
    ProblemKind.UNSUPPORTED_MEDIA_TYPE,
    ProblemKind.INTERNAL_ERROR,
    ProblemKind.OVERLOADED,
)
_PROBLEMS: Final = (ProblemKind.INVALID_INPUT, ProblemKind.INTERNAL_ERROR, ProblemKind.OVERLOADED)


def problem_responses(*kinds: ProblemKind, takes_body: bool = False) -> dict[int, ResponseSpec]:
    """Return the documentation of a route's problems: these, and those that every such route may answer with."""
    by_status: dict[HTTPStatus, list[ProblemKind]] = {}
    for kind in (*(_BODY_PROBLEMS if takes_body else _PROBLEMS), *_SERVER_PROBLEMS, *kinds):
        by_status.setdefault(kind.status, []).append(kind)
    return {status: problem_response(*of_status) for status, of_status in sorted(by_status.items())}


def problem_response(*kinds: ProblemKind) -> ResponseSpec:
    """Return the documentation of the problems that share a status."""
    return ResponseSpec(
        Problem,
        generate_examples=False,
        description=" Or: ".join(kind.title for kind in kinds),
        media_type=PROBLEM_MEDIA_TYPE,
        examples=[
            Example(
                summary=kind.title,
                value={"type": kind.type, "title": kind.title, "status": kind.status, **_EXAMPLES[kind]},
            )
            for kind in kinds
        ],
    )


def make_openapi_config() -> OpenAPIConfig:
    """Return the configuration of the document, which is served as ``/schema/openapi.json``."""
    return OpenAPIConfig(
        title="Distributed counter",
        version=VERSION,
        description=_DESCRIPTION,
        tags=_TAGS,
        use_handler_docstrings=True,
        operation_id_creator=_name_operation,
        openapi_router=Router("/schema", route_handlers=[], include_in_schema=False, after_request=_refuse_unknown),
        render_plugins=[Document(SCHEMAS)],
    )


def _name_operation(
    handler: HTTPRouteHandler, method: HttpMethod | Method, _path: list[str | PathParameterDefinition]
) -> str:
    # PUT and PATCH of the same thing share a handler.
    return handler.handler_name.replace("update", "patch") if method == HttpMethod.PATCH else handler.handler_name


async def _refuse_unknown(response: Response[bytes]) -> Response[bytes]:
    """Turn the framework's own page for unknown paths under ``/schema`` into an error like any other."""
    if response.status_code == HTTPStatus.NOT_FOUND:
        raise NotFoundException
    return response
