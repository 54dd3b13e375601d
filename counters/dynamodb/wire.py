"""One call, one HTTP request: the port through which aiodynamo reaches DynamoDB."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final
from zlib import crc32

import aiohttp
from aiodynamo.http.types import Request, Response
from aiodynamo.models import RetryConfig, RetryTimeout
from botocore.httpsession import get_cert_path
from botocore.utils import get_environ_proxies
from yarl import URL

_CONNECTIONS: Final = 128
_CONNECT_TIMEOUT_S: Final = 1.0
_KEEPALIVE_S: Final = 12.0
_USER_AGENT: Final = "distributed-counter"
_CONDITION_FAILED: Final = "ConditionalCheckFailedException"


class AnswerError(Exception):
    """DynamoDB, or something on the way to it, answered with an error.

    Attributes:
        status: The HTTP status.
        code: DynamoDB's name for the error; empty when the answer is not DynamoDB's.
        fields: All that the answer says.
    """

    def __init__(self, status: int, code: str, fields: Mapping[str, Any]) -> None:
        super().__init__(f"{code or 'error'} ({status}): {fields.get('message') or fields.get('Message') or ''}")
        self.status = status
        self.code = code
        self.fields = fields


class ConditionFailedError(AnswerError):
    """The condition of a write did not hold; ``fields["Item"]`` is what it was checked against, if that was asked."""


class DamagedAnswerError(Exception):
    """The answer is not what DynamoDB sent."""


class OneTry(RetryConfig):
    """No repetition: the core owns retries, as only it knows what may take effect twice, and when the deadline is."""

    def delays(self) -> Iterable[float]:
        """Return that nothing follows the first try."""
        return ()

    def attempts(self) -> AsyncIterable[None]:
        """Return the one try; as no generator, because one that is left early costs a task of its own to close."""
        return _Once()


class _Once:
    def __init__(self) -> None:
        self._is_over = False

    def __aiter__(self) -> _Once:
        return self

    async def __anext__(self) -> None:
        if self._is_over:
            # The only end that lets out what ended the try: aiodynamo holds back a time-out until it gives up.
            raise RetryTimeout
        self._is_over = True


class Wire:
    """Sends signed requests to one endpoint.

    Raises:
        AnswerError: The answer is an error; of its kinds, only ``ConditionFailedError`` has a class of its own.
        DamagedAnswerError: The answer does not match its checksum.
        aiohttp.ClientError: There is no answer.
    """

    def __init__(self, session: aiohttp.ClientSession, endpoint: URL) -> None:
        self._session = session
        self._endpoint = endpoint

    async def __call__(self, request: Request) -> Response:
        """Return the answer of a request that was carried out."""
        async with self._session.post(
            self._endpoint, headers=request.headers, data=request.body, allow_redirects=False
        ) as answer:
            body = await answer.read()
        checksum = answer.headers.get("x-amz-crc32")
        if checksum is not None and checksum != str(crc32(body)):
            raise DamagedAnswerError("The answer's checksum is wrong.")
        if answer.status != HTTPStatus.OK:
            raise _error_answer(answer.status, body)
        return Response(answer.status, body)


def _error_answer(status: int, body: bytes) -> AnswerError:
    try:
        fields = json.loads(body)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        return AnswerError(status, "", {})
    code = str(fields.get("__type", "")).rpartition("#")[2]
    return (ConditionFailedError if code == _CONDITION_FAILED else AnswerError)(status, code, fields)


@asynccontextmanager
async def open_wire(endpoint: URL, ca_bundle: str | None, try_timeout_s: float) -> AsyncIterator[Wire]:
    """Open the process's one pool of connections to DynamoDB.

    Args:
        endpoint: Address of DynamoDB.
        ca_bundle: File of certificates to trust; None for the SDK's own.
        try_timeout_s: Longest silence while an answer is due, in seconds.
    """
    trusted = ssl.create_default_context(cafile=ca_bundle or get_cert_path(verify=True))
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=_CONNECTIONS, keepalive_timeout=_KEEPALIVE_S, ssl=trusted),
        timeout=aiohttp.ClientTimeout(sock_connect=_CONNECT_TIMEOUT_S, sock_read=try_timeout_s),
        # aiodynamo signs the host without its port.
        headers={"Host": endpoint.host_subcomponent or "", "Accept-Encoding": "identity", "User-Agent": _USER_AGENT},
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        # Looked up once, as aiohttp would look for each request.
        proxy=get_environ_proxies(str(endpoint)).get(endpoint.scheme),
    ) as session:
        yield Wire(session, endpoint)
