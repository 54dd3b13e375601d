"""One call, one HTTP request: the way to DynamoDB, which bounds each call from the moment it is asked for."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

import aiohttp
from aiodynamo.sign import signed_dynamo_request
from aiohttp.payload import BytesPayload
from botocore.httpsession import get_cert_path
from botocore.utils import get_environ_proxies

from counters.stores.aws_errors import is_signature_refused
from counters.stores.dynamodb.answers import (
    AnswerError,
    ConditionFailedError,
    DamagedAnswerError,
    NoAnswerError,
    NotSentError,
)
from counters.stores.dynamodb.clock import ClockWatch
from counters.stores.dynamodb.resolver import LastingResolver

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter
    from yarl import URL

    from counters.stores.dynamodb.credentials import SigningKeys

_CONNECTIONS: Final = 128
_CONNECT_TIMEOUT_S: Final = 1.0
_KEEPALIVE_S: Final = 12.0
_NEWS_SHARE: Final = 0.1
"""Weight of the newest call in how long calls take (an exponentially weighted moving average)."""

_USER_AGENT: Final = "distributed-counter"
_CONDITION_FAILED: Final = "ConditionalCheckFailedException"


class Wire:
    """Signs calls and sends them to one endpoint.

    Each call has one bound for all of it: waiting for a place among the connections and for credentials, looking up the
    name, connecting, sending and the answer. It is signed when it has its place, so what waited carries no old
    signature.

    Args:
        session: The connections; without a limit of its own, as its queue loses wake-ups when those who wait give up.
        endpoint: Address of DynamoDB.
        region: The region that signatures name.
        keys: The credentials.
        call_timeout_s: The bound, in seconds.
    """

    def __init__(
        self, session: aiohttp.ClientSession, endpoint: URL, region: str, keys: SigningKeys, call_timeout_s: float
    ) -> None:
        self._session = session
        self._endpoint = endpoint
        self._region = region
        self._keys = keys
        self._call_timeout_s = call_timeout_s
        self._places = asyncio.Semaphore(_CONNECTIONS)
        self._usual_s = 0.0
        self._clock = ClockWatch()

    async def send(self, *, action: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer of a call.

        Raises:
            AnswerError: The answer is an error; of its kinds, only ``ConditionFailedError`` has a class of its own.
            DamagedAnswerError: The answer does not match its checksum.
            NotSentError: The call's time was over, or something failed, before it was sent; or it writes, and our clock
                is too far ahead or behind.
            NoAnswerError: The same after that.
        """
        # Not the event loop's clock, which stands still while a turn of the loop does.
        deadline = monotonic() + self._call_timeout_s
        body: _Body | None = None
        try:
            async with asyncio.timeout(self._call_timeout_s):
                await self._take_place()
                try:
                    key = await self._keys.key()
                    if monotonic() >= deadline:
                        raise TimeoutError
                    self._clock.check(action)
                    request = signed_dynamo_request(
                        key=key, payload=payload, action=action, region=self._region, endpoint=self._endpoint
                    )
                    body = _Body(request.body, deadline)
                    answer = await self._exchange(request.headers, body)
                finally:
                    self._places.release()
        except (TimeoutError, aiohttp.ClientError) as error:
            reason = f"{action}: {str(error) or f'timeout after {monotonic() - deadline + self._call_timeout_s:.2f} s'}"
            if body is None or body.withdraw():
                raise NotSentError(reason) from error
            raise NoAnswerError(reason) from error
        except AnswerError as error:
            if is_signature_refused(error.code):
                self._keys.doubt(key, str(error))
            raise
        decoded: dict[str, Any] = json.loads(answer)
        return decoded

    async def _take_place(self) -> None:
        if self._places.locked():
            # Sent with less time left than an answer takes at present, it would only leave a doubt.
            async with asyncio.timeout(self._call_timeout_s - 2 * self._usual_s):
                await self._places.acquire()
        else:
            await self._places.acquire()

    async def _exchange(self, headers: Mapping[str, str], body: _Body) -> bytes:
        began, sent_at = monotonic(), time()
        try:
            async with self._session.post(self._endpoint, headers=headers, data=body, allow_redirects=False) as answer:
                self._clock.learn(answer.headers.get("Date"), sent_at, began, time())
                content = await answer.read()
        finally:
            took_s = min(monotonic() - began, self._call_timeout_s)
            self._usual_s += (took_s - self._usual_s) * _NEWS_SHARE
        checksum = answer.headers.get("x-amz-crc32")
        if checksum is not None and checksum != str(crc32(content)):
            raise DamagedAnswerError("The answer's checksum is wrong.")
        if answer.status != HTTPStatus.OK:
            raise _error_answer(answer.status, content)
        return content


class _Body(BytesPayload):
    """The body of a request. DynamoDB carries out no request of which it does not have all of the body.

    Args:
        value: The bytes.
        deadline: Monotonic time, in seconds, from which on it is not sent any more. A process may stand still between
            the signature and this moment.
    """

    def __init__(self, value: bytes, deadline: float) -> None:
        super().__init__(value)
        self._deadline = deadline
        self._was_written = False
        self._is_withdrawn = False

    def withdraw(self) -> bool:
        """Return whether nothing of it was sent, and see to it that this stays so."""
        self._is_withdrawn = True
        return not self._was_written

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Send it, unless it was withdrawn or its time is over."""
        if self._is_withdrawn or monotonic() >= self._deadline:
            raise ConnectionAbortedError("The call was given up before it was sent.")
        self._was_written = True
        await super().write_with_length(writer, content_length)


def _error_answer(status: int, body: bytes) -> AnswerError:
    try:
        fields = json.loads(body)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        return AnswerError(status, "", {})
    # As Smithy's JSON protocols have it: "com.amazonaws.dynamodb.v20120810#ThrottlingException:http://...".
    code = str(fields.get("__type", "")).partition(":")[0].rpartition("#")[2]
    return (ConditionFailedError if code == _CONDITION_FAILED else AnswerError)(status, code, fields)


@asynccontextmanager
async def open_wire(
    endpoint: URL, region: str, keys: SigningKeys, ca_bundle: str | None, call_timeout_s: float
) -> AsyncIterator[Wire]:
    """Open the process's one pool of connections to DynamoDB.

    Args:
        endpoint: Address of DynamoDB.
        region: The region that signatures name.
        keys: The credentials.
        ca_bundle: File of certificates to trust; None for the SDK's own.
        call_timeout_s: Longest time from asking for a call to its answer, in seconds.
    """
    trusted = ssl.create_default_context(cafile=ca_bundle or get_cert_path(verify=True))
    names = LastingResolver()
    connector = aiohttp.TCPConnector(
        limit=0, keepalive_timeout=_KEEPALIVE_S, ssl=trusted, resolver=names, use_dns_cache=False
    )
    session = aiohttp.ClientSession(
        connector=connector,
        # Everything else is within the call's own time.
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT_S),
        # aiodynamo signs the host without its port.
        headers={"Host": endpoint.host_subcomponent or "", "Accept-Encoding": "identity", "User-Agent": _USER_AGENT},
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        proxy=_proxy_to(endpoint),
    )
    try:
        async with session:
            yield Wire(session, endpoint, region, keys, call_timeout_s)
    finally:
        await names.close()


def _proxy_to(endpoint: URL) -> str | None:
    """Return the proxy that the environment names for an address, looked up once for all requests; None: there is none.

    An emulator on this machine is reached without one, as no proxy leads there.
    """
    host = endpoint.host or ""
    try:
        on_this_machine = ipaddress.ip_address(host).is_loopback
    except ValueError:
        on_this_machine = host == "localhost"
    return None if on_this_machine else get_environ_proxies(str(endpoint)).get(endpoint.scheme)
