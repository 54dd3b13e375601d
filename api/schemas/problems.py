"""Problems on the wire: the error format of RFC 9457 and every kind of it."""

from enum import Enum
from http import HTTPStatus
from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"


class ProblemKind(Enum):
    """Every kind of problem; its ``type`` is part of the API's contract and never changes."""

    INVALID_INPUT = HTTPStatus.BAD_REQUEST, "The input cannot be accepted."
    MALFORMED_REQUEST = HTTPStatus.BAD_REQUEST, "This is not HTTP/1.1 as it must be."
    ACCOUNT_NOT_FOUND = HTTPStatus.NOT_FOUND, "There is no such account."
    COUNTER_NOT_FOUND = HTTPStatus.NOT_FOUND, "The account has no such counter."
    SERVICE_NOT_FOUND = HTTPStatus.NOT_FOUND, "There is no such service."
    ROUTE_NOT_FOUND = HTTPStatus.NOT_FOUND, "There is nothing at this path."
    METHOD_NOT_ALLOWED = HTTPStatus.METHOD_NOT_ALLOWED, "This path does not take this method."
    REQUEST_TIMEOUT = HTTPStatus.REQUEST_TIMEOUT, "The request did not come in time."
    LIMIT_REACHED = HTTPStatus.CONFLICT, "The account's limit is reached."
    CHANGE_CONFLICT = HTTPStatus.CONFLICT, "Somebody else changed the same thing at the same time."
    COUNTER_BUSY = HTTPStatus.CONFLICT, "The counter is in use; try again."
    BODY_TOO_LARGE = HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large."
    UNSUPPORTED_MEDIA_TYPE = HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The body is not plain JSON."
    HEAD_TOO_LARGE = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The request line and the headers are too large."
    INTERNAL_ERROR = HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong on our side."
    OVERLOADED = HTTPStatus.SERVICE_UNAVAILABLE, "There was no answer in time; try again."
    COUNTER_DAMAGED = HTTPStatus.SERVICE_UNAVAILABLE, "The counter is damaged; reconcile it."
    NOT_READY = HTTPStatus.SERVICE_UNAVAILABLE, "The service cannot serve requests now; try again."
    STOPPING = HTTPStatus.SERVICE_UNAVAILABLE, "This process stops; another one serves: try again."
    TOO_MANY_CONNECTIONS = HTTPStatus.SERVICE_UNAVAILABLE, "Too many connections are open; try again."

    def __init__(self, status: HTTPStatus, title: str) -> None:
        self.status = status
        self.title = title

    @property
    def type(self) -> str:
        """The URI that tells this kind from the others."""
        return f"urn:distributed-counter:problem:{self.name.lower().replace('_', '-')}"


class FieldProblem(Struct, frozen=True):
    """What is wrong with one field of the input."""

    field: Annotated[str, Meta(description="Its name; `body` for the body as a whole.")]
    reason: Annotated[str, Meta(description="What is wrong, or what would be right.")]


class Problem(Struct, frozen=True, kw_only=True):
    """An error, as RFC 9457 describes it."""

    type: Annotated[str, Meta(description="URI of the kind of problem; stable.")]
    title: Annotated[str, Meta(description="The kind in words.")]
    status: Annotated[int, Meta(description="The HTTP status.")]
    detail: Annotated[str, Meta(description="This occurrence in words.")]
    instance: (
        Annotated[str, Meta(description="URI of this occurrence, also in the service's log; only for 5xx.")] | UnsetType
    ) = UNSET
    errors: Annotated[list[FieldProblem], Meta(description="The fields at fault, for invalid input.")] | UnsetType = (
        UNSET
    )
    limit: Annotated[int, Meta(description="The limit, when it is reached.")] | UnsetType = UNSET
    value: Annotated[int, Meta(description="What is in use, when the limit is reached.")] | UnsetType = UNSET
