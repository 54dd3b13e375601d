"""The server's own part in a request: its id, and problems that the application does not know of."""

import re
from http import HTTPStatus
from random import Random
from typing import Final, TypeAlias

import msgspec

from api.schemas.problems import PROBLEM_MEDIA_TYPE, Problem, ProblemKind

REQUEST_ID_HEADER: Final = b"x-request-id"

_RETRY_AFTER_S: Final = 1
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
"""Long enough for the ids of load balancers and traces; nothing that could be taken for more than an id in a log."""

_ALLOWED: Final = (b"allow", b"DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT")

Headers: TypeAlias = list[tuple[bytes, bytes]]

# For ids, not for secrets; the system's own randomness costs a call to it for each id.
_random: Final = Random()  # noqa: S311


def choose_request_id(proposed: bytes | None) -> bytes:
    """Return the id that the client proposed for its request, if it can be one, or else a new one."""
    if proposed is not None and _REQUEST_ID.fullmatch(proposed):
        return proposed
    return b"%032x" % _random.getrandbits(128)


def encode_problem(kind: ProblemKind, detail: str) -> tuple[Headers, bytes]:
    """Return the headers and the body of a problem that the server itself answers with."""
    body = msgspec.json.encode(Problem(type=kind.type, title=kind.title, status=kind.status, detail=detail))
    headers = [(b"content-type", PROBLEM_MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(body))]
    if kind.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append((b"retry-after", b"%d" % _RETRY_AFTER_S))
    if kind is ProblemKind.METHOD_NOT_ALLOWED:
        headers.append(_ALLOWED)
    return headers, body
