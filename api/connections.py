"""Connections of the HTTP server: what comes in is framed and bounded first, and each answer leaves in one piece."""

import asyncio
import logging
import math
import time
from typing import Any, ClassVar, Final, NoReturn

import httptools
import msgspec
from uvicorn._types import ASGI3Application, ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from api.exchanges import REQUEST_ID_HEADER, choose_request_id, encode_problem
from api.framing import HEADERS_MAX, TOO_MANY, Inbox, RefusedError, check_method, without_offers
from api.requests import BODY_BYTES_MAX
from api.schemas.problems import ProblemKind
from api.storms import StormLog
from counters.logs import request_id

_AHEAD_BYTES_MAX: Final = 65_536
"""So much of further requests is read while one is being answered."""

_CHUNKED_BYTES_MAX: Final = 131_072
"""A body in chunks of one byte has 6 bytes for each; the rest is for trailers."""

_SURPLUS: Final = 256
"""Connections beyond the bound that are told so. Beyond those, they are only closed."""

_LINGER_S: Final = 2.0
"""Time for a client to read the last answer and to close the connection."""

_LINGER_BYTES_MAX: Final = 1_048_576
_WRITE_S: Final = 30.0
"""Longest time that a client may take to read what was sent."""

_BODY_TOO_LONG: Final = f"The body must not be longer than {BODY_BYTES_MAX} bytes."
_CLOSE: Final = (b"connection", b"close")
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_VERSIONS: Final = frozenset({"1.1", "1.0"})
_NOTED: Final = frozenset({b"content-length", b"transfer-encoding", b"expect", REQUEST_ID_HEADER})

logger = logging.getLogger(__name__)
_refused_log: Final = StormLog(logger, logging.INFO, "request.refused")
_full_log: Final = StormLog(logger, logging.WARNING, "connections.full")


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How long clients are waited for, and how many.

    Attributes:
        connections: How many may be open at a time.
        head_s: Longest time for a request's head, in seconds: from its first byte, or from the connection's start.
        body_s: Longest time for a request's body, in seconds, from the end of its head.
        idle_s: Time without a request after which a connection is closed, in seconds. Longer than a load balancer's,
            which would otherwise reuse a connection that is just being closed.
    """

    connections: int = 3000
    head_s: float = 10.0
    body_s: float = 5.0
    idle_s: float = 75.0


# What a connection is at. No enumeration, as looking up one member takes a fifth of a microsecond.
_HEAD: Final = 0
"""Nothing is here of the next request, or a part of its head."""

_BODY: Final = 1
"""A head was parsed, its body is not complete."""

_ANSWER: Final = 2
"""A request is complete and not answered yet."""

_END: Final = 3
"""The last answer was given: nothing more is read."""


class _UpgradeOfferedError(Exception):
    """The parser takes what follows the head for another protocol."""


class Connection(HttpToolsProtocol):
    """uvicorn's own, with a guard in front of its parser, and another way to write.

    The parser gets one message at a time, in pieces that end where the message can end (``Inbox``). The application
    starts when the message is complete, and when the parser has found one request in it and no more. So what the guard
    and the parser should ever understand differently is refused, and never runs as a request.

    uvicorn writes head and body of an answer one after the other, and uvloop sends each at once: two calls to the
    system, two packets, and a client that wakes up twice. That took an eighth of the processor time of a create.
    """

    bounds: ClassVar[Bounds] = Bounds()
    transport: "_Gathered"

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._inbox = Inbox()
        self._phase = _HEAD
        self._due = math.inf
        self._write_due = math.inf
        self._is_last = False
        self._is_paused = False
        self._lingered = 0
        self._logs_answers = logger.isEnabledFor(logging.DEBUG)
        self._begin_request()

    def _begin_request(self) -> None:
        self._is_begun = False
        """Whether the parser has begun with it."""
        self._has_part = False
        """Whether a part of its head is here."""
        self._has_head = False
        self._objection: Exception | None = None
        self._is_complete = False
        self._length = 0
        self._coding: bytes | None = None
        self._expects_100 = False
        self._proposed_id: bytes | None = None
        self._body_taken = 0

    # What the transport calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Take over a connection, or refuse it when there are too many."""
        super().connection_made(transport)
        self.transport = _Gathered(transport, self.loop)
        self._due = self.loop.time() + self.bounds.head_s
        surplus = len(self.connections) - self.bounds.connections
        if surplus > 0:
            _full_log.note(connections=self.bounds.connections)
            if surplus > _SURPLUS:
                self.transport.abort()
                return
            self._refuse(ProblemKind.TOO_MANY_CONNECTIONS, "Too many connections are open.")

    def data_received(self, data: bytes) -> None:
        """Take what came in; hand it on as far as a request is complete and the one before it is answered."""
        if self._phase == _END:
            self._linger(len(data))
            return
        self._inbox.add(data)
        if self._phase != _ANSWER:
            self._advance()
        elif len(self._inbox) > _AHEAD_BYTES_MAX:
            self._is_paused = True
            self.transport.pause_reading()

    def pause_writing(self) -> None:
        """Wait for the client to read, for a while."""
        super().pause_writing()
        self._write_due = self.loop.time() + _WRITE_S

    def resume_writing(self) -> None:
        """Go on: it has read."""
        super().resume_writing()
        self._write_due = math.inf

    # What the parser calls

    def on_message_begin(self) -> None:
        """Begin a request.

        Raises:
            RefusedError: The parser sees a second one where there is one.
        """
        if self._is_begun:
            self._object(ProblemKind.MALFORMED_REQUEST, "Where the request ends is not clear.")
        self._is_begun = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; a trailer is left out, as it must not change what was said in the head."""
        if self._has_head:
            return
        name = name.lower()
        if name in _NOTED:
            self._note_header(name, value)
        self.headers.append((name, value))

    def on_message_complete(self) -> None:
        """Note that all of the request is here."""
        self.cycle.more_body = False
        self.cycle.message_event.set()
        self._is_complete = True

    def on_response_complete(self) -> None:
        """Go on with the next request."""
        self.server_state.total_requests += 1
        now = self.loop.time()
        if self.transport.is_closing():
            self._end(_LINGER_S)
            return
        self._phase = _HEAD
        self._due = now + self.bounds.idle_s
        self._begin_request()
        self._read_on()
        if self._inbox:
            self._advance()

    # What the server calls

    def look_at_the_time(self, now: float) -> None:
        """End what takes too long; to be called about once a second, with the loop's time."""
        if now >= self._write_due:
            self.transport.abort()
        elif now < self._due:
            return
        elif self._phase == _END:
            if self.transport.is_closed:
                self.transport.abort()
            else:
                self._close()
        elif self._phase == _BODY:
            self._refuse(ProblemKind.REQUEST_TIMEOUT, "The body was not complete in time.")
        elif self._is_idle and self.cycle is not None:
            self._close()
        else:
            self._refuse(ProblemKind.REQUEST_TIMEOUT, "The request line and headers were not complete in time.")

    def let_go(self) -> None:
        """Ask the client with the next answer to close the connection."""
        self._is_last = True
        if self._phase == _ANSWER:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """Close the connection; a request that is complete is answered before."""
        if self._phase == _ANSWER:
            self.cycle.keep_alive = False
        elif self._phase == _END or self._is_idle:
            self._close()
        else:
            self._refuse(ProblemKind.STOPPING, "The process stopped before the request was complete.")

    @property
    def _is_idle(self) -> bool:
        return self._phase == _HEAD and not self._inbox

    # From bytes to a request

    def _advance(self) -> None:
        """Hand on what is here, up to the end of one request."""
        try:
            while self._phase < _ANSWER:
                if self._phase == _HEAD:
                    head = self._inbox.take_head()
                    if head is None:
                        break
                    self._feed_head(head)
                else:
                    piece = self._take_of_body()
                    if not piece:
                        break
                    self._feed(piece)
                if self._is_complete:
                    self._start()
        except RefusedError as error:
            self._refuse(error.kind, error.detail)
            return
        if self._phase == _HEAD and self._inbox and not self._has_part:
            self._has_part = True
            self._due = self.loop.time() + self.bounds.head_s

    def _feed_head(self, head: bytes) -> None:
        check_method(head)
        try:
            self._feed(head)
        except _UpgradeOfferedError:
            self.parser = httptools.HttpRequestParser(self)
            self.cycle = None  # type: ignore[assignment]  # as before the first request
            self._begin_request()
            self._feed(without_offers(head))
        if not self._is_complete:
            self._begin_body()

    def _take_of_body(self) -> bytes:
        # Of chunks, line by line without a look at them: only a line end can end the message, so no cut can be wrong.
        piece = self._inbox.take_line() if self._coding else self._inbox.take(self._length - self._body_taken)
        self._body_taken += len(piece)
        if self._body_taken > _CHUNKED_BYTES_MAX or len(self.cycle.body) > BODY_BYTES_MAX:
            raise RefusedError(ProblemKind.BODY_TOO_LARGE, _BODY_TOO_LONG)
        return piece

    def _feed(self, piece: bytes) -> None:
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserCallbackError as error:
            if self._objection is not None:
                raise self._objection from None
            raise RefusedError(ProblemKind.MALFORMED_REQUEST, "The request cannot be read.") from error
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise RefusedError(ProblemKind.MALFORMED_REQUEST, f"{error}.") from error

    def _note_header(self, name: bytes, value: bytes) -> None:
        if name == b"content-length":
            self._length = int(value)
        elif name == b"transfer-encoding":
            if self._coding is not None or value.strip().lower() != b"chunked":
                self._object(ProblemKind.MALFORMED_REQUEST, "The only Transfer-Encoding here is chunked, once.")
            self._coding = value
        elif name == b"expect":
            self._expects_100 = value.lower() == b"100-continue"
        elif self._proposed_id is None:
            self._proposed_id = value

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:  # noqa: ARG002
        """Look at a head that was parsed; uvicorn would start the application here, before the body is there."""
        if self.parser.should_upgrade():
            self._objection = _UpgradeOfferedError()
            raise self._objection
        if self.scope["http_version"] not in _VERSIONS:
            self._object(ProblemKind.MALFORMED_REQUEST, "The version must be HTTP/1.1 or HTTP/1.0.")
        if len(self.headers) > HEADERS_MAX:
            self._object(ProblemKind.HEAD_TOO_LARGE, TOO_MANY)
        self._has_head = True

    def _object(self, kind: ProblemKind, detail: str) -> NoReturn:
        """Refuse what the parser has just told.

        The parser raises an error of its own then. That one's context is ours only as long as nobody handles another
        error while this connection goes on, and a request that ends in an error does.
        """
        self._objection = RefusedError(kind, detail)
        raise self._objection

    def _begin_body(self) -> None:
        """Go on to the body.

        A client that asks is told at once to send it (RFC 9110, section 10.1.1), not when the application reads: if it
        was answered without the body, nobody could tell whether the body still comes, or the next request.
        """
        if not self._has_head or (self._coding is None and not self._length):
            raise RefusedError(ProblemKind.MALFORMED_REQUEST, "The request cannot be read.")
        if self._length > BODY_BYTES_MAX:
            raise RefusedError(ProblemKind.BODY_TOO_LARGE, _BODY_TOO_LONG)
        if 0 < self._length <= len(self._inbox):
            self._feed(self._inbox.take(self._length))
            if not self._is_complete:
                raise RefusedError(ProblemKind.MALFORMED_REQUEST, "Where the request ends is not clear.")
            return
        self._phase = _BODY
        self._due = self.loop.time() + self.bounds.body_s
        if self._expects_100 and not self._inbox and self.scope["http_version"] == "1.1":
            self.transport.write(_CONTINUE)

    # From a request to its answer

    def _start(self) -> None:
        self._phase = _ANSWER
        self._due = math.inf
        chosen = choose_request_id(self._proposed_id)
        cycle = self.cycle
        cycle.default_headers = [*cycle.default_headers, (REQUEST_ID_HEADER, chosen)]
        if self._is_last:
            cycle.keep_alive = False
        token = request_id.set(chosen.decode())
        task = self.loop.create_task(self._answer_and_log(cycle) if self._logs_answers else self._answer(cycle))
        request_id.reset(token)
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    async def _answer(self, cycle: RequestResponseCycle) -> None:
        """Let the application answer, and answer in its place when it cannot."""
        try:
            await self.app(cycle.scope, cycle.receive, cycle.send)
        except asyncio.CancelledError:
            # The server stops, and has waited for long enough.
            logger.warning("request.stopped", extra={"fields": _describe(cycle)})
            await self._make_up(cycle, ProblemKind.STOPPING, "The process stopped before the request was done.")
        except Exception:
            logger.exception("request.failed", extra={"fields": _describe(cycle)})
            await self._make_up(cycle, ProblemKind.INTERNAL_ERROR, "The error was logged under the request's id.")
        finally:
            cycle.on_response = _do_nothing
            if not (cycle.response_complete or cycle.disconnected):
                self._close()

    @staticmethod
    async def _make_up(cycle: RequestResponseCycle, kind: ProblemKind, detail: str) -> None:
        if cycle.response_started:
            return
        cycle.keep_alive = False
        headers, body = encode_problem(kind, detail)
        await cycle.send({"type": "http.response.start", "status": kind.status, "headers": headers})
        await cycle.send({"type": "http.response.body", "body": body, "more_body": False})

    async def _answer_and_log(self, cycle: RequestResponseCycle) -> None:
        # The loop's own time counts whole milliseconds.
        start = time.perf_counter()
        status = 0
        send = cycle.send

        async def note_and_send(message: ASGISendEvent) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        cycle.send = note_and_send  # type: ignore[method-assign]
        await self._answer(cycle)
        fields = {
            **_describe(cycle),
            "status": status,
            "duration_ms": round((time.perf_counter() - start) * 1000, 1),
        }
        logger.debug("request.answered", extra={"fields": fields})

    def _refuse(self, kind: ProblemKind, detail: str) -> None:
        """Answer in the application's place, and take nothing more."""
        chosen = choose_request_id(self._proposed_id)
        headers, body = encode_problem(kind, detail)
        lines = [STATUS_LINE[kind.status]]
        for name, value in (*self.server_state.default_headers, *headers, (REQUEST_ID_HEADER, chosen), _CLOSE):
            lines += [name, b": ", value, b"\r\n"]
        self.transport.write(b"".join([*lines, b"\r\n", body]))
        self.transport.close()
        self._end(_LINGER_S)
        _refused_log.note(status=kind.status, reason=detail, request_id=chosen.decode())

    def _close(self) -> None:
        self.transport.close_now()
        self._end(_WRITE_S)

    def _end(self, seconds: float) -> None:
        self._phase = _END
        self._due = self.loop.time() + seconds
        self._inbox.clear()
        self._read_on()

    def _read_on(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self.transport.resume_reading()

    def _linger(self, size: int) -> None:
        self._lingered += size
        if self._lingered > _LINGER_BYTES_MAX:
            self.transport.abort()


def _describe(cycle: RequestResponseCycle) -> dict[str, str]:
    return {"method": cycle.scope["method"], "path": cycle.scope["path"]}


def _do_nothing() -> None:
    """Stand in for a callback that would keep the connection alive in memory."""


class _Gathered(asyncio.Transport):
    """A transport that sends together what is written in one turn of the event loop."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._unsent: list[bytes | bytearray | memoryview] = []
        self._is_ended = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._unsent:
            self._loop.call_soon(self._send)
        self._unsent.append(data)

    def _send(self) -> None:
        # A client may have gone away since the write.
        if self._unsent and not self._transport.is_closing():
            self._transport.write(b"".join(self._unsent))
        self._unsent = []

    def close(self) -> None:
        """Say that nothing more will be sent, and leave it to the client to close the connection, or to the time.

        If the client was still sending, the system would reset a connection that is closed, and answers that the client
        has not read yet may be lost with it (RFC 9112, section 9.6).
        """
        self._is_ended = True
        self._send()
        if not self._transport.is_closing():
            self._transport.write_eof()

    def close_now(self) -> None:
        """Close the connection when all is sent."""
        self._send()
        self._transport.close()

    def abort(self) -> None:
        self._unsent = []
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._is_ended or self._transport.is_closing()

    @property
    def is_closed(self) -> bool:
        """Whether it is being closed in fact."""
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()
