"""Requests: what they may have in their query, and bodies of JSON that are decoded straight into the schema.

Litestar's own way decodes JSON to plain objects and then converts those leniently: ``"5"`` and ``true`` would pass as
numbers. It also costs more, which matters on the hot path.
"""

from functools import cache
from typing import Final, cast

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.enums import HttpMethod
from litestar.exceptions import ClientException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.status_codes import HTTP_415_UNSUPPORTED_MEDIA_TYPE

from api.backend import Backend
from api.http.faults import InvalidFieldsError, decode_by_field, find_faults, find_in_query, query_names
from api.schemas.problems import FieldProblem
from counters.errors import InvalidInputError

BODY_BYTES_MAX: Final = 16_384
"""The largest body that can be valid, every character of it escaped, has a quarter of this."""

_BODY: Final = "body"
_DECODED: Final = "decoded_body"
_JSON: Final = b"application/json"


async def refuse_unknown_query(request: Request[None, None, State]) -> None:
    """Refuse query parameters that the route does not know: one that is misspelt must not be ignored.

    Raises:
        InvalidFieldsError: One is unknown, or was given more than once.
    """
    if not request.scope["query_string"] or request.method == HttpMethod.OPTIONS:
        return
    query = list(request.query_params.multi_items())
    names = [name for name, _ in query]
    if len(set(names)) < len(names) or not query_names(request.route_handler).issuperset(names):
        raise InvalidFieldsError(find_in_query(request.route_handler, query))


class JsonRequest(Request[None, None, State]):
    """A request whose body, if its handler takes one, must be a JSON object that fits the handler's schema.

    Of a key that occurs twice, the last value counts, as in most JSON parsers.
    """

    @property
    def backend(self) -> Backend:
        """The engine behind the routes."""
        return cast("Backend", self.app.state["backend"])

    async def body(self) -> bytes:
        """Return the body.

        Raises:
            ClientException: 415 for a declared content type other than JSON, and for a compressed body; 400 when the
                client goes away.
            InvalidInputError: There is no body.
            RequestEntityTooLarge: The body is too long.
        """
        if not isinstance(self._body, bytes):
            self._check_headers()
            self._body = self.scope["state"][_BODY] = await self._read_body()
        return self._body

    async def json(self) -> msgspec.Struct:
        """Return the body decoded into the handler's schema.

        Raises:
            InvalidFieldsError: It is not JSON, or does not fit.
        """
        body = await self.body()
        schema = self.route_handler.parsed_fn_signature.parameters["data"].annotation
        try:
            decoded = _decoder(schema).decode(body)
        except (ValueError, RecursionError):
            decoded = decode_by_field(body, schema)
        self.scope["state"][_DECODED] = decoded
        return decoded

    def _check_headers(self) -> None:
        for name, value in self.scope["headers"]:
            if name == b"content-type" and value != _JSON and value.partition(b";")[0].strip().lower() != _JSON:
                raise ClientException("The body must be application/json.", status_code=HTTP_415_UNSUPPORTED_MEDIA_TYPE)
            if name == b"content-encoding" and value.strip().lower() not in {b"", b"identity"}:
                raise ClientException(
                    "The body must not be compressed.",
                    status_code=HTTP_415_UNSUPPORTED_MEDIA_TYPE,
                    headers={"Accept-Encoding": "identity"},
                )

    async def _read_body(self) -> bytes:
        body = b""
        more = True
        while more:
            message = await self.receive()
            if message["type"] != "http.request":
                raise ClientException("The connection was closed before the body was complete.")
            body += message["body"]
            more = message["more_body"]
            if len(body) > BODY_BYTES_MAX:
                raise RequestEntityTooLarge(f"The body must not be longer than {BODY_BYTES_MAX} bytes.")
        if not body:
            raise InvalidInputError("body", "must be a JSON object")
        return body


def decoded_body(request: Request[None, None, State]) -> msgspec.Struct | None:
    """Return the body that this request was decoded to, or None; for the log of what went wrong with it."""
    return request.scope["state"].get(_DECODED)


def faults_of(request: Request[None, None, State]) -> list[FieldProblem]:
    """Return the faults of a request's path and query, and of its body if that was read."""
    query, body = request.query_params.multi_items(), request.scope["state"].get(_BODY)
    return find_faults(request.route_handler, request.path_params, query, body)


@cache
def _decoder(schema: type[msgspec.Struct]) -> msgspec.json.Decoder[msgspec.Struct]:
    return msgspec.json.Decoder(schema)
