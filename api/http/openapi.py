"""What the framework's OpenAPI document gets wrong or leaves out, put right when it is rendered."""

import inspect
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any, Final, TypeAlias

import msgspec
from litestar import Litestar, Request
from litestar.datastructures import State
from litestar.enums import HttpMethod
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.params import PathParameter
from litestar.routes import HTTPRoute

from api.http.faults import InvalidFieldsError, decode_by_field, find_faults, find_in_query
from api.schemas.accounts import AccountUpdate
from api.schemas.problems import PROBLEM_MEDIA_TYPE, FieldProblem, ProblemKind

_Json: TypeAlias = dict[str, Any]

_RETRY_AFTER: Final = {
    "description": "Seconds after which to try again.",
    "schema": {"type": "integer", "minimum": 1},
}
_ACCEPT_ENCODING: Final = {
    "description": "How a body may be encoded; only when it came compressed.",
    "schema": {"type": "string", "const": "identity"},
}
_RETRIED: Final = {
    kind.type
    for kind in ProblemKind
    if kind.status == HTTPStatus.SERVICE_UNAVAILABLE or kind is ProblemKind.COUNTER_BUSY
}
"""The kinds of problem that come with ``Retry-After``."""


class Document(JsonRenderPlugin):
    """The document with our schemas as msgspec describes them, and with the headers and examples of each operation.

    The framework's own schemas lose each minimum of 0, every description, and that unknown fields are refused.
    """

    def __init__(self, schemas: Sequence[type[msgspec.Struct]]) -> None:
        """Take the schemas that the document refers to."""
        super().__init__()
        self._schemas = schemas

    def render(self, request: Request[None, None, State], openapi_schema: dict[str, Any]) -> bytes:
        """Return the document as JSON."""
        _, schemas = msgspec.json.schema_components(self._schemas, ref_template="#/components/schemas/{name}")
        schemas[AccountUpdate.__name__]["minProperties"] = 1
        for schema in schemas.values():
            if "description" in schema:
                schema["description"] = inspect.cleandoc(schema["description"])
        document = msgspec.json.decode(super().render(request, {**openapi_schema, "components": {"schemas": schemas}}))
        for handler, operation in _operations(request.app, document):
            _complete(handler, operation)
        return msgspec.json.encode(document)


def _operations(app: Litestar, document: _Json) -> Iterator[tuple[HTTPRouteHandler, _Json]]:
    routes = {route.path_format: route for route in app.routes if isinstance(route, HTTPRoute)}
    for path, item in document["paths"].items():
        for method in HttpMethod:
            if method.lower() in item:
                handler, _ = routes[path].route_handler_map[method]
                yield handler, item[method.lower()]


def _complete(handler: HTTPRouteHandler, operation: _Json) -> None:
    for parameter in operation.get("parameters", []):
        parameter["schema"] = _without_null(parameter["schema"])
    responses = operation["responses"]
    for status, response in responses.items():
        problems = response.get("content", {}).get(PROBLEM_MEDIA_TYPE, {}).get("examples", {}).values()
        for problem in (example["value"] for example in problems):
            if problem["type"] in _RETRIED:
                response.setdefault("headers", {})["Retry-After"] = _RETRY_AFTER
            if problem["type"] == ProblemKind.UNSUPPORTED_MEDIA_TYPE.type:
                response.setdefault("headers", {})["Accept-Encoding"] = _ACCEPT_ENCODING
            if problem["type"] == ProblemKind.INVALID_INPUT.type:
                errors = _example_of_faults(handler)
                problem["detail"] = "; ".join(f"{error.field}: {error.reason}" for error in errors)
                problem["errors"] = [msgspec.to_builtins(error) for error in errors]
        if status == "200" and "201" in responses:
            response["headers"] = responses["201"]["headers"]


def _without_null(schema: _Json) -> _Json:
    """Return a parameter's schema without null, which no path and no query can hold."""
    kinds = [kind for kind in schema.pop("oneOf", []) if kind != {"type": "null"}]
    return schema | kinds[0] if kinds else schema


def _example_of_faults(handler: HTTPRouteHandler) -> list[FieldProblem]:
    """Return what this very operation says about some bad input."""
    parameters = handler.parsed_fn_signature.parameters
    if "data" in parameters:
        try:
            decode_by_field(b"{}", parameters["data"].annotation)
        except InvalidFieldsError as error:
            return error.faults
    if faults := find_in_query(handler, []):
        return faults
    if _takes(handler, "account_id"):
        return find_faults(handler, path={"account_id": ".."}, query=[], body=None)
    return find_in_query(handler, [("limit", "0")])


def _takes(handler: HTTPRouteHandler, parameter: str) -> bool:
    definition = handler.parsed_fn_signature.parameters.get(parameter)
    return definition is not None and isinstance(definition.kwarg_definition, PathParameter)
