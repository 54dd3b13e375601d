"""Request bodies: JSON, decoded strictly and straight into the schema.

Litestar's own way decodes JSON to plain objects and then converts those leniently: ``"5"``, ``5.0`` and ``true`` would
pass as numbers. It also costs more, which matters on the hot path.
"""

import re
from functools import cache
from typing import Final

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.exceptions import ClientException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.status_codes import HTTP_415_UNSUPPORTED_MEDIA_TYPE

from api.schemas.fields import TEXT_PATTERN
from counters.errors import InvalidInputError

BODY_BYTES_MAX: Final = 16_384
"""The largest body that can be valid, every character of it escaped, has a quarter of this."""

_DECODED: Final = "decoded_body"
_JSON: Final = b"application/json"
_MISSING: Final = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_INVALID: Final = re.compile(r"(.*) - at `\$\.(.*)`", re.DOTALL)


class JsonRequest(Request[None, None, State]):
    """A request whose body, if its handler takes one, must be a JSON object that fits the handler's schema.

    Of a key that occurs twice, the last value counts, as in most JSON parsers.
    """

    async def body(self) -> bytes:
        """Return the body.

        Raises:
            ClientException: 415 for a declared content type other than JSON; 400 when the client goes away.
            InvalidInputError: There is no body.
            RequestEntityTooLarge: The body is too long.
        """
        if not isinstance(self._body, bytes):
            self._check_content_type()
            self._body = await self._read_body()
        return self._body

    async def json(self) -> msgspec.Struct:
        """Return the body decoded into the handler's schema.

        Raises:
            InvalidInputError: It is not JSON, or does not fit.
        """
        body = await self.body()
        try:
            decoded = _decoder(self.route_handler.parsed_fn_signature.parameters["data"].annotation).decode(body)
        except msgspec.ValidationError as error:
            raise _describe(str(error)) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidInputError("body", f"is not JSON in UTF-8: {error}") from error
        self.scope["state"][_DECODED] = decoded
        return decoded

    def _check_content_type(self) -> None:
        for name, value in self.scope["headers"]:
            if name == b"content-type" and value != _JSON and value.partition(b";")[0].strip().lower() != _JSON:
                raise ClientException("The body must be application/json.", status_code=HTTP_415_UNSUPPORTED_MEDIA_TYPE)

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


@cache
def _decoder(schema: type[msgspec.Struct]) -> msgspec.json.Decoder[msgspec.Struct]:
    return msgspec.json.Decoder(schema)


def _describe(message: str) -> InvalidInputError:
    """Return the error for a validation message of msgspec, which names the field only inside its text."""
    if match := _MISSING.fullmatch(message):
        return InvalidInputError(match[1], "is required")
    if match := _UNKNOWN.fullmatch(message):
        return InvalidInputError(match[1], "is not a known field")
    if match := _INVALID.fullmatch(message):
        reason = match[1].replace(
            f"matching regex {TEXT_PATTERN!r}", "with more than white space and without control characters"
        )
        return InvalidInputError(match[2], reason)
    return InvalidInputError("body", message)
