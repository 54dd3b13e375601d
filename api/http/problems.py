"""From errors to ``application/problem+json``: made here and nowhere else, with nothing of the inside in it."""

import logging
from http import HTTPStatus
from typing import Final
from uuid import uuid4

from litestar import Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException, ValidationException
from msgspec import UNSET, UnsetType

from api.http.faults import FAULTS_MAX, InvalidFieldsError
from api.http.methods import list_methods
from api.http.requests import decoded_body, faults_of
from api.schemas.problems import PROBLEM_MEDIA_TYPE, FieldProblem, Problem, ProblemKind
from api.storms import StormLog
from counters.errors import (
    AccountNotFoundError,
    ChangeConflictError,
    CounterBusyError,
    CounterDamagedError,
    CounterError,
    CounterNotFoundError,
    EntryNotFoundError,
    InvalidInputError,
    LimitReachedError,
    OverloadedError,
    StoreError,
    StoreRejectedError,
)
from counters.keys import CounterKey

_RETRY_AFTER_S: Final = 1
_KINDS: Final = {
    HTTPStatus.BAD_REQUEST: ProblemKind.INVALID_INPUT,
    HTTPStatus.NOT_FOUND: ProblemKind.ROUTE_NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED: ProblemKind.METHOD_NOT_ALLOWED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ProblemKind.BODY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: ProblemKind.UNSUPPORTED_MEDIA_TYPE,
}
"""The kinds of problem that the framework finds, by its statuses."""

_KINDS_OF_ERRORS: Final[dict[type[CounterError], ProblemKind]] = {
    AccountNotFoundError: ProblemKind.ACCOUNT_NOT_FOUND,
    ChangeConflictError: ProblemKind.CHANGE_CONFLICT,
    CounterNotFoundError: ProblemKind.COUNTER_NOT_FOUND,
}
"""The kinds of problem that have nothing to tell but the error's own text."""

logger = logging.getLogger(__name__)
_overload_log: Final = StormLog(logger, logging.WARNING, "request.overloaded")


class NotReadyError(Exception):
    """The service cannot serve requests now."""


def answer_error(request: Request[None, None, State], error: Exception) -> Response[Problem]:
    """Return the problem for any error that a request ended in; what went wrong on our side is also logged."""
    match error:
        case InvalidInputError() | InvalidFieldsError() | ValidationException():
            answer = _invalid_input(request, error)
        case AccountNotFoundError() | ChangeConflictError() | CounterNotFoundError():
            answer = _problem(_KINDS_OF_ERRORS[type(error)], str(error))
        case EntryNotFoundError(entry_id=entry_id):
            answer = _problem(ProblemKind.SERVICE_NOT_FOUND, f"There is no service {entry_id}.")
        case LimitReachedError(limit=limit, value=value):
            answer = _problem(ProblemKind.LIMIT_REACHED, str(error), limit=limit, value=value)
        case CounterBusyError(retry_after_s=retry_after_s):
            answer = _problem(ProblemKind.COUNTER_BUSY, str(error), retry_after_s=retry_after_s)
        case CounterDamagedError(counter=counter):
            answer = _problem(ProblemKind.COUNTER_DAMAGED, f"{error} {_reconcile(counter.key)}")
        case OverloadedError(retry_after_s=retry_after_s):
            _overload_log.observe(reason=str(error))
            answer = _problem(ProblemKind.OVERLOADED, str(error), retry_after_s=retry_after_s)
        case NotReadyError():
            answer = _problem(ProblemKind.NOT_READY, "The table cannot be reached.", retry_after_s=_RETRY_AFTER_S)
        case HTTPException(status_code=status) if status in _KINDS:
            answer = _framework_problem(_KINDS[HTTPStatus(status)], error)
        case _:
            answer = _failure(request, error)
    return answer


def _invalid_input(request: Request[None, None, State], error: Exception) -> Response[Problem]:
    """Return the problem that names every field at fault, not only those at which the request was refused."""
    faults = faults_of(request)
    known: list[FieldProblem] = []
    if isinstance(error, InvalidInputError):
        known = [FieldProblem(error.field, error.reason)]
    elif isinstance(error, InvalidFieldsError):
        known = error.faults
    found = {fault.field for fault in faults}
    faults += [fault for fault in known if fault.field not in found]
    faults = faults[:FAULTS_MAX]
    detail = "; ".join(f"{fault.field}: {fault.reason}" for fault in faults)
    return _problem(ProblemKind.INVALID_INPUT, detail, errors=faults)


def _reconcile(key: CounterKey) -> str:
    """Return the request that repairs a counter."""
    return f"POST /accounts/{key.account_id}/counters/{key.name}/reconcile"


def _framework_problem(kind: ProblemKind, error: HTTPException) -> Response[Problem]:
    # Where the framework only repeats the status, our title says more.
    detail = kind.title if error.detail == kind.status.phrase else error.detail
    headers = dict(error.headers or {})
    if kind is ProblemKind.METHOD_NOT_ALLOWED:
        headers = {"Allow": list_methods(headers["allow"].split(", "))}
    return _problem(kind, detail, headers=headers)


def _failure(request: Request[None, None, State], error: Exception) -> Response[Problem]:
    instance = uuid4().urn
    fields = {
        "instance": instance,
        "method": request.method,
        "path": request.url.path,
        "account_id": request.query_params.get("account_id") or getattr(decoded_body(request), "account_id", None),
        "reason": repr(error),
    }
    logger.error("request.failed", extra={"fields": fields}, exc_info=error)
    if isinstance(error, StoreError) and not isinstance(error, StoreRejectedError):
        detail = "The database did not answer; whether the change was made is not known."
        return _problem(ProblemKind.OVERLOADED, detail, instance=instance, retry_after_s=_RETRY_AFTER_S)
    return _problem(ProblemKind.INTERNAL_ERROR, "The error was logged under this instance.", instance=instance)


def _problem(  # noqa: PLR0913 - each is a part of the answer that only some kinds have
    kind: ProblemKind,
    detail: str,
    *,
    instance: str | UnsetType = UNSET,
    errors: list[FieldProblem] | UnsetType = UNSET,
    limit: int | UnsetType = UNSET,
    value: int | UnsetType = UNSET,
    retry_after_s: int | None = None,
    headers: dict[str, str] | None = None,
) -> Response[Problem]:
    problem = Problem(
        type=kind.type,
        title=kind.title,
        status=kind.status,
        detail=detail,
        instance=instance,
        errors=errors,
        limit=limit,
        value=value,
    )
    headers = dict(headers or {})
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    return Response(problem, status_code=kind.status, media_type=PROBLEM_MEDIA_TYPE, headers=headers)
