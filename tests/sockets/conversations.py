"""What a client sends on one connection, drawn from a seed: whole requests, and then perhaps one that is not."""

from collections.abc import Callable, Sequence
from enum import Enum, auto
from random import Random
from typing import Final

import msgspec

SMUGGLED: Final = "/smuggled"
"""Requests of this path are only ever sent inside others. None must ever run."""

_OFFERS: Final = (
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
    b"upgrade: TLS/1.3, any\r\nCONNECTION: keep-alive, uPgRaDe\r\n",
    b"Upgrade: h2c\r\nProxy-Connection: Upgrade\r\n",
    b"Upgrade: h2c\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nConnection: HTTP2-Settings\r\n",
    b"Upgrade-Insecure-Requests: 1\r\n",
    b"HTTP2-Settings: AAMAAABk\r\n",
)
_BODILESS: Final = (b"GET", b"HEAD", b"DELETE", b"OPTIONS")
_BODIED: Final = (b"POST", b"PUT", b"PATCH", b"DELETE", b"GET")
_PATHS: Final = ("/", "/accounts/", "/services/", "/counts/")
_AMBIGUOUS: Final = (
    b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
    b"Content-Length: 4\r\nContent-Length: 5\r\n",
    b"Content-Length: 4\r\nContent-Length: 4\r\n",
    b"Content-Length: 4, 5\r\n",
    b"Content-Length: -4\r\n",
    b"Content-Length: 0x4\r\n",
    b"Content-Length: 4\x0b\r\n",
    b"Content-Length: 18446744073709551620\r\n",
    b"Content-Length : 4\r\n",
    b"Content-Length:\r\n",
    b"Transfer-Encoding: chunked, identity\r\n",
    b"Transfer-Encoding: identity, chunked\r\n",
    b"Transfer-Encoding: gzip\r\n",
    b"Transfer-Encoding: xchunked\r\n",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    b"Transfer-Encoding\t: chunked\r\n",
    b" Transfer-Encoding: chunked\r\n",
    b"X: a\r\n Transfer-Encoding: chunked\r\n",
    b"X: a\nTransfer-Encoding: chunked\r\n",
    b"X: a\rContent-Length: 4\r\n",
    b"X: a\x00b\r\n",
    b"X: " + b"a" * 33_000 + b"\r\n",
    b"X: a\r\n" * 101,
    b"Content-Length: 16385\r\n",
    b": nameless\r\n",
    b"Host: h:ere\r\n",
    b"Host: here\r\nHost: there\r\n",
    b"colonless\r\n",
)
_HEADLESS: Final = (
    b"GET /\r\n\r\n",
    b"GET / HTTP/0.9\r\n\r\n",
    b"GET / HTTP/2.0\r\n\r\n",
    b"GET / HTTP/1.1\n\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"CONNECT here:443 HTTP/1.1\r\nHost: here\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\x00\r\n\r\n",
    b"GET / HTTP/1.1 \r\n\r\n",
    b"GET\t/\tHTTP/1.1\r\n\r\n",
    b"\rGET / HTTP/1.1\r\n\r\n",
)
_BAD_CHUNKS: Final = (
    b"4\nbody\r\n0\r\n\r\n",
    b"4\r\nbody\n0\r\n\r\n",
    b"4\r\nbodybody\r\n0\r\n\r\n",
    b"-1\r\n\r\n",
    b"0x4\r\nbody\r\n0\r\n\r\n",
    b"fffffffffffffffff\r\n",
    b"0\n\n",
    b"0\r\nContent-Length: 40\r\n\r\n",
    b"0\r\n folded\r\n\r\n",
    b"4;" + b"a" * 140_000,
    b"0\r\n" + b"X: a\r\n" * 30_000,
    b"5000\r\n" + b"a" * 0x5000 + b"\r\n0\r\n\r\n",
)


class Ending(Enum):
    """How a conversation ends, after its whole requests."""

    KEPT = auto()
    """The connection stays usable."""

    CLOSED = auto()
    """The last request asks the server to close, and there is more behind it."""

    REFUSED = auto()
    """What follows must be refused."""

    DAMAGED = auto()
    """What follows may mean anything, but must not harm."""

    CUT = auto()
    """The client goes away in the middle of a request."""


class Sent(msgspec.Struct, frozen=True):
    """A request that was sent as a whole.

    Attributes:
        method: Its method.
        path: Its path.
        body: Its body.
    """

    method: str
    path: str
    body: bytes


class Conversation(msgspec.Struct, frozen=True):
    """All that goes over one connection.

    Attributes:
        token: A part of the path of each of its requests, and of no other's.
        requests: The requests that are whole, each of which must be answered, in this order.
        ending: What comes after them.
        pieces: The bytes, as they are cut.
        pauses_ms: How long to wait before each piece, in milliseconds.
        resets: Whether the client resets the connection at the end.
    """

    token: str
    requests: Sequence[Sent]
    ending: Ending
    pieces: Sequence[bytes]
    pauses_ms: Sequence[int]
    resets: bool


def draw_conversation(seed: int) -> Conversation:
    """Return the conversation of a seed."""
    return _Draw(seed).conversation()


class _Draw:
    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._token = f"fuzz-{seed}."
        self._requests: list[Sent] = []

    def conversation(self) -> Conversation:
        random = self._random
        data = b"".join(self._request() for _ in range(random.choice((0, 1, 1, 2, 3, 8, 30))))
        ending = random.choice((Ending.KEPT, *Ending))
        data += self._end(ending)
        cuts = random.choice((0, 0, 1, 2, 5, 40))
        places = sorted(random.sample(range(len(data)), min(cuts, len(data))))
        if random.random() < 0.05 and len(data) < 3000:
            places = list(range(1, len(data)))
        pieces = [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]
        longest = random.choice((0, 0, 1, 3)) if len(pieces) < 50 else 0
        pauses = [random.randint(0, longest) for _ in pieces]
        resets = ending is Ending.CUT and random.random() < 0.5
        return Conversation(self._token, self._requests, ending, pieces, pauses, resets)

    def _end(self, ending: Ending) -> bytes:
        random = self._random
        match ending:
            case Ending.KEPT:
                return b""
            case Ending.CLOSED:
                old = random.random() < 0.5
                version = b"HTTP/1.0" if old else b"HTTP/1.1"
                return self._request(b"" if old else b"Connection: close\r\n", version) + self._smuggled()
            case Ending.REFUSED:
                return self._refused() + self._smuggled()
            case Ending.DAMAGED:
                return self._damage(self._unsent_request())
            case Ending.CUT:
                whole = self._unsent_request()
                return whole[: random.randrange(len(whole))]

    def _request(self, more: bytes = b"", version: bytes = b"HTTP/1.1") -> bytes:
        random = self._random
        path = random.choice(_PATHS) + f"{self._token}{len(self._requests)}"
        has_body = random.random() < 0.6
        method = random.choice(_BODIED if has_body else _BODILESS)
        body = self._body() if has_body else b""
        self._requests.append(Sent(method.decode(), path, body))
        empty_lines = b"\r\n" * random.choice((0, 0, 0, 1, 3))
        headers = [b"Host: here\r\n", more, *self._headers()]
        if version == b"HTTP/1.1" and has_body and random.random() < 0.4:
            headers.append(random.choice((b"Transfer-Encoding: chunked\r\n", b"transfer-encoding:\tChunked \r\n")))
            message = self._chunks(body)
        else:
            if has_body or random.random() < 0.2:
                headers.append(b"Content-Length: %s%d\r\n" % (random.choice((b"", b"", b"00")), len(body)))
            message = body
        random.shuffle(headers)
        line = method + b" " + path.encode() + b" " + version + b"\r\n"
        return empty_lines + line + b"".join(headers) + b"\r\n" + message

    def _unsent_request(self) -> bytes:
        """Return a request that is not to be expected."""
        data = self._request()
        self._requests.pop()
        return data

    def _headers(self) -> list[bytes]:
        random = self._random
        headers = [b"Accept: */*\r\n", b"Content-Type: application/json\r\n"]
        if random.random() < 0.3:
            headers.append(random.choice(_OFFERS))
        if random.random() < 0.1:
            headers.append(b"Expect: 100-continue\r\n")
        if random.random() < 0.2:
            headers.append(b"X-Request-Id: %s\r\n" % random.choice((b"mine", b'"', b"a" * 200, b"\xff")))
        if random.random() < 0.1:
            headers += [b"X-Many: a\r\n"] * random.randint(1, 80)
        if random.random() < 0.1:
            headers.append(b"X-Long: " + b"a" * random.randint(1, 20_000) + b"\r\n")
        return headers

    def _body(self) -> bytes:
        random = self._random
        kinds: list[Callable[[], bytes]] = [
            lambda: b"",
            lambda: b'{"name":"billing"}',
            self._smuggled,
            lambda: b"0\r\n\r\n" + self._smuggled(),
            lambda: random.randbytes(random.randint(1, 300)),
            lambda: b"a" * random.randint(1, 16_384),
            lambda: b"\r\n" * random.randint(1, 100),
        ]
        return random.choice(kinds)()

    def _chunks(self, body: bytes) -> bytes:
        random = self._random
        data = b""
        while body:
            size = random.randint(1, len(body) if random.random() < 0.5 else min(len(body), 700))
            data += b"%s%x%s\r\n" % (random.choice((b"", b"0")), size, random.choice((b"", b";a=b", b';a="b;c"')))
            data += body[:size] + b"\r\n"
            body = body[size:]
        trailers = (
            b"",
            b"",
            b"X-Trailer: a\r\n",
            b"Upgrade: h2c\r\nConnection: Upgrade\r\n",
            b"Expect: 100-continue\r\n",
        )
        return data + b"0\r\n" + random.choice(trailers) + b"\r\n"

    def _smuggled(self) -> bytes:
        method = self._random.choice((b"GET", b"DELETE"))
        return method + b" " + SMUGGLED.encode() + b" HTTP/1.1\r\nHost: here\r\n\r\n"

    def _refused(self) -> bytes:
        random = self._random
        line = b"POST /" + self._token.encode() + b"refused HTTP/1.1\r\n"
        match random.randrange(3):
            case 0:
                return random.choice(_HEADLESS)
            case 1:
                return line + random.choice(_AMBIGUOUS) + random.choice((b"", *_OFFERS)) + b"\r\n"
            case _:
                return line + b"Transfer-Encoding: chunked\r\n\r\n" + random.choice(_BAD_CHUNKS)

    def _damage(self, data: bytes) -> bytes:
        """Change some bytes.

        By that, a request inside a body may become one, and a path may become another conversation's: both are made
        unknown before.
        """
        random = self._random
        damaged = bytearray(data.replace(SMUGGLED.encode(), b"/damaged0").replace(self._token.encode(), b"damaged."))
        for _ in range(random.randint(1, 4)):
            place = random.randrange(len(damaged))
            match random.randrange(3):
                case 0:
                    damaged[place] = random.randrange(256)
                case 1:
                    del damaged[place]
                case _:
                    damaged[place:place] = random.choice(
                        (b"\r", b"\n", b"\r\n", b"\x00", b" ", b":", b"0", b"\r\n\r\n")
                    )
            if not damaged:
                break
        return bytes(damaged)
