"""The bytes that the HTTP parser may get at a time, and the ones it must never get.

The parser (llhttp) keeps heads of any size, starts the next request by itself, and takes a request that offers an
upgrade for one without a body. So it gets the bytes in pieces: each ends where a message can end, and has one head at
most.
"""

import re
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final

from api.schemas.problems import ProblemKind

HEAD_BYTES_MAX: Final = 32_768
HEADERS_MAX: Final = 100

TOO_MANY: Final = f"There must not be more than {HEADERS_MAX} headers."
_TOO_LONG: Final = f"Request line and headers must not be longer than {HEAD_BYTES_MAX} bytes."
_EMPTY_LINES_MAX: Final = 100
"""So many that come together before a request. 64 MB of them kept the process busy for seconds."""

_TOO_MANY_EMPTY: Final = f"There must not be more than {_EMPTY_LINES_MAX} empty lines before a request."
_METHOD_SO_FAR: Final = re.compile(rb"[A-Z-]+(?: |\Z)|\r?\Z")
_REQUEST_LINE: Final = re.compile(rb"[^\r\n]* HTTP/1\.[01]\r\n")
_HOST: Final = re.compile(
    rb"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::(?P<port>[0-9]{0,5}))?\s*"
)
_HOSTS_CACHED: Final = 256
_PORT_MAX: Final = 65_535
_OFFERS: Final = frozenset({b"upgrade", b"http2-settings"})


class RefusedError(Exception):
    """What a client sent is not taken; its connection can only be closed.

    Attributes:
        kind: The kind of problem.
        detail: What is wrong, in words, with nothing of what was sent in it.
    """

    def __init__(self, kind: ProblemKind, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


class Inbox:
    """What came in on a connection and was not taken yet."""

    __slots__ = ("_start", "buffer")

    def __init__(self) -> None:
        self.buffer = b""
        self._start = 0

    def __len__(self) -> int:
        return len(self.buffer) - self._start

    def add(self, data: bytes) -> None:
        """Put what has just come in behind the rest."""
        if self.buffer:
            self.buffer = self.buffer[self._start :] + data
            self._start = 0
        else:
            self.buffer = data

    def clear(self) -> None:
        """Forget all."""
        self.buffer = b""
        self._start = 0

    def take_head(self) -> bytes | None:
        """Take the next head, from the request line to its empty line.

        Returns:
            None while it is not complete.

        Raises:
            RefusedError: It is too large, or what is here cannot become a head.
        """
        buffer = self.buffer
        # Empty lines before a request line are ignored (RFC 9112, section 2.2), but not without end.
        most = self._start + 2 * _EMPTY_LINES_MAX
        while buffer.startswith(b"\r\n", self._start):
            self._start += 2
            if self._start > most:
                raise RefusedError(ProblemKind.HEAD_TOO_LARGE, _TOO_MANY_EMPTY)
        end = buffer.find(b"\r\n\r\n", self._start)
        if end < 0:
            _check_part(buffer[self._start :])
            return None
        if end - self._start > HEAD_BYTES_MAX:
            raise RefusedError(ProblemKind.HEAD_TOO_LARGE, _TOO_LONG)
        if buffer[self._start] in b"\r\n":
            # The parser would skip half a line end.
            raise RefusedError(ProblemKind.MALFORMED_REQUEST, "An empty line before the request does not end in CRLF.")
        return self._take_until(end + 4)

    def take(self, size: int) -> bytes:
        """Take this many bytes, or all when there are fewer."""
        return self._take_until(min(self._start + size, len(self.buffer)))

    def take_line(self) -> bytes:
        """Take up to the next line end, or what there is of the line."""
        return self._take_until(self.buffer.find(b"\n", self._start) + 1 or len(self.buffer))

    def _take_until(self, end: int) -> bytes:
        piece = self.buffer[self._start : end]
        if end == len(self.buffer):
            self.clear()
        else:
            self._start = end
        return piece


@lru_cache(_HOSTS_CACHED)
def is_host(value: bytes) -> bool:
    """Tell whether this can be a Host header: a name or an address, with a port or without; it may be empty."""
    match = _HOST.fullmatch(value)
    if match is None or int(match["port"] or 0) > _PORT_MAX:
        return False
    if match["ipv6"] is not None:
        try:
            IPv6Address(match["ipv6"].decode())
        except ValueError:
            return False
    return True


def check_method(head: bytes) -> None:
    """Refuse a head that asks for a tunnel: what follows would be of no protocol that is known here.

    Raises:
        RefusedError: It does.
    """
    if head.startswith(b"CONNECT "):
        raise RefusedError(ProblemKind.METHOD_NOT_ALLOWED, "This server is no proxy: it opens no tunnels.")


def without_offers(head: bytes) -> bytes:
    """Return the head without its upgrade offers, which a server may ignore (RFC 9110, section 7.8)."""
    lines = head.split(b"\r\n")
    return b"\r\n".join(line for line in lines if line.partition(b":")[0].strip().lower() not in _OFFERS)


def _check_part(part: bytes) -> None:
    """Refuse at once what cannot become a head any more, instead of waiting for its end."""
    lines = part.count(b"\n")
    if len(part) > HEAD_BYTES_MAX:
        raise RefusedError(ProblemKind.HEAD_TOO_LARGE, _TOO_LONG)
    if lines - 1 > HEADERS_MAX:
        raise RefusedError(ProblemKind.HEAD_TOO_LARGE, TOO_MANY)
    if lines != part.count(b"\r\n"):
        raise RefusedError(ProblemKind.MALFORMED_REQUEST, "A line of the head does not end in CRLF.")
    if _METHOD_SO_FAR.match(part) is None or (lines and _REQUEST_LINE.match(part) is None):
        raise RefusedError(ProblemKind.MALFORMED_REQUEST, "This is no request of HTTP/1.1.")
