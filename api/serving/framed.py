"""The guard in front of the HTTP parser: from bytes to one whole request at a time."""

import asyncio
from abc import abstractmethod
from typing import Any, Final, NoReturn

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from api.http.requests import BODY_BYTES_MAX
from api.schemas.problems import ProblemKind
from api.serving.exchanges import REQUEST_ID_HEADER
from api.serving.framing import (
    HEAD_BYTES_MAX,
    HEADERS_MAX,
    TOO_MANY,
    Inbox,
    RefusedError,
    check_method,
    is_host,
    without_offers,
)

# What a connection is at. No enumeration, as looking up one member takes a fifth of a microsecond.
HEAD: Final = 0
"""The next request has not begun, or a part of its head is here."""

BODY: Final = 1
"""A head was parsed, its body is not complete."""

ANSWER: Final = 2
"""A request is complete and not answered yet."""

END: Final = 3
"""The last answer was given: nothing more is read."""

_CHUNKED_BYTES_MAX: Final = 131_072
"""A body in chunks of one byte has 6 bytes for each; the rest is for trailers."""

_ALONE_BYTES_MAX: Final = 65_536
"""Longer than any request of one packet that can be taken."""

_BODY_TOO_LONG: Final = f"The body must not be longer than {BODY_BYTES_MAX} bytes."
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_VERSIONS: Final = frozenset({"1.1", "1.0"})
_NOTED: Final = frozenset({b"host", b"transfer-encoding", b"expect", REQUEST_ID_HEADER})


class _UpgradeOfferedError(Exception):
    """The parser takes what follows the head for another protocol."""


class FramedProtocol(HttpToolsProtocol):
    """uvicorn's own, with a guard in front of its parser.

    The parser gets one message at a time, in pieces that end where the message can end (``Inbox``). The application
    starts when the message is complete and the parser has found exactly one request in it. So a message that the guard
    and the parser understand differently is refused, and never runs as a request.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._inbox = Inbox()
        self._phase = HEAD
        self._begin_request()

    @abstractmethod
    def _start(self) -> None:
        """Answer the request that is complete, and enter the phase ``ANSWER``."""

    @abstractmethod
    def _refuse(self, kind: ProblemKind, detail: str) -> None:
        """Answer in the application's place, and take nothing more."""

    @abstractmethod
    def _wait_for_head(self) -> None:
        """Note that a part of a head is here."""

    @abstractmethod
    def _wait_for_body(self) -> None:
        """Note that a head is here, and not all of its body."""

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
        self._has_host = False
        self._proposed_id: bytes | None = None
        self._body_taken = 0

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
        if name == b"content-length":
            self._length = int(value)
        elif name in _NOTED:
            self._note_header(name, value)
        self.headers.append((name, value))

    def on_message_complete(self) -> None:
        """Note that all of the request is here."""
        self.cycle.more_body = False
        self.cycle.message_event.set()
        self._is_complete = True

    # What is done with what came in

    def _take(self, data: bytes) -> None:
        """Take what came in while no request is being answered, up to the end of one request."""
        try:
            if self._phase != HEAD or self._inbox.buffer or not self._take_alone(data):
                self._inbox.add(data)
                self._advance()
        except RefusedError as error:
            self._refuse(error.kind, error.detail)

    def _take_alone(self, data: bytes) -> bool:
        """Take a request that begins with this data, without cutting it; most requests come alone and whole.

        Returns:
            Whether it was one. If not, nothing of it was run, and the data has to be taken piece by piece.
        """
        head_end = data.find(b"\r\n\r\n", 0, HEAD_BYTES_MAX) + 4
        if head_end < 4 or len(data) > _ALONE_BYTES_MAX or data[0] in b"\r\n":  # noqa: PLR2004 - not found
            return False
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._start_over()
            return False
        if self._is_complete:
            # The parser skips line ends behind a request, also half ones.
            is_fit = data.endswith(b"\r\n\r\n") if self._coding else head_end + self._length == len(data)
        else:
            is_fit = self._has_head
        if not is_fit or len(self.cycle.body) > BODY_BYTES_MAX:
            self._start_over()
            return False
        if self._is_complete:
            self._start()
        else:
            self._body_taken = len(data) - head_end
            self._begin_body()
        return True

    def _go_on(self) -> None:
        """Go on behind a request that was answered."""
        if self._inbox.buffer:
            try:
                self._advance()
            except RefusedError as error:
                self._refuse(error.kind, error.detail)

    def _advance(self) -> None:
        """Hand on what is here, piece by piece, up to the end of one request."""
        while self._phase < ANSWER:
            if self._phase == HEAD:
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
        if self._phase == HEAD and self._inbox and not self._has_part:
            self._has_part = True
            self._wait_for_head()

    def _feed_head(self, head: bytes) -> None:
        check_method(head)
        try:
            self._feed(head)
        except _UpgradeOfferedError:
            self._start_over()
            self._feed(without_offers(head))
        if not self._is_complete:
            self._begin_body()

    def _start_over(self) -> None:
        """Forget what the parser has had of this request."""
        self.parser = httptools.HttpRequestParser(self)
        self.cycle = None  # type: ignore[assignment]  # as before the first request
        self._begin_request()

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
        if name == b"transfer-encoding":
            if self._coding is not None or value.strip().lower() != b"chunked":
                self._object(ProblemKind.MALFORMED_REQUEST, "The only Transfer-Encoding here is chunked, once.")
            self._coding = value
        elif name == b"host":
            # The framework would fail at it where it needs the request's whole address.
            if self._has_host or not is_host(value):
                self._object(ProblemKind.MALFORMED_REQUEST, "Host must be one host, with a port or without.")
            self._has_host = True
        elif name == b"expect":
            self._expects_100 = value.lower() == b"100-continue"
        elif self._proposed_id is None:
            self._proposed_id = value

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:  # noqa: ARG002
        """Look at a head that was parsed; uvicorn would start the application here, before the body is there."""
        if self.scope["http_version"] not in _VERSIONS:
            self._object(ProblemKind.MALFORMED_REQUEST, "The version must be HTTP/1.1 or HTTP/1.0.")
        if len(self.headers) > HEADERS_MAX:
            self._object(ProblemKind.HEAD_TOO_LARGE, TOO_MANY)
        if self.parser.should_upgrade():
            self._objection = _UpgradeOfferedError()
            raise self._objection
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
        self._phase = BODY
        self._wait_for_body()
        if self._expects_100 and not self._inbox and self.scope["http_version"] == "1.1":
            self.transport.write(_CONTINUE)
