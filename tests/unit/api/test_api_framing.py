"""What comes in on a connection is framed and bounded before the parser gets it; only whole requests are run."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from random import Random

import pytest
from uvicorn.server import ServerState

from api.http.requests import BODY_BYTES_MAX
from api.serving.connections import Bounds, Connection
from tests.support.virtual_time import in_virtual_time
from tests.support.wires import ABORTED, CLOSED, ENDED, Message, RecordedWire, Seen, connect, settle

BODY = b'{"name":"billing"}'
HEAD = b"POST /services HTTP/1.1\r\nHost: here\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"5\r\n" + BODY[:5] + b"\r\n%x;why=not\r\n" % len(BODY[5:]) + BODY[5:] + b"\r\n0\r\nX-Trailer: 1\r\n\r\n"
GET = b"GET /health HTTP/1.1\r\nHost: here\r\n"
INNER = b"DELETE /accounts/a HTTP/1.1\r\nHost: here\r\n\r\n"

OFFERS = {
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    "websocket": b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
    "any": b"upgrade: TLS/1.0, any/2\r\nCONNECTION: uPGRADE\r\n",
    "twice": b"Upgrade: h2c\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
    "proxy": b"Proxy-Connection: Upgrade\r\nUpgrade: h2c\r\n",
}


async def send(*pieces: bytes) -> tuple[Seen, RecordedWire]:
    """Return what the application saw and the client got after these pieces came in, one after the other."""
    app = Seen()
    connection, wire = connect(app)
    for piece in pieces:
        connection.data_received(piece)
        await settle()
    return app, wire


def problem(wire: RecordedWire) -> dict[str, object]:
    """Return the problem that the connection ended with."""
    assert wire.sent[-1] == ENDED
    head, _, body = wire.text.rpartition("\r\n\r\n")
    lines = head.lower().split("\r\n")
    assert "content-type: application/problem+json" in lines
    assert "connection: close" in lines
    assert any(line.startswith("x-request-id: ") for line in lines)
    fields: dict[str, object] = json.loads(body)
    assert f"http/1.1 {fields['status']} " in head.lower()
    return fields


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
@pytest.mark.parametrize("message", [LENGTH + b"\r\n" + BODY, CHUNKED + b"\r\n" + CHUNKS], ids=["length", "chunked"])
async def test_an_upgrade_offer_is_ignored_however_the_message_is_cut(offer: bytes, message: bytes) -> None:
    whole = HEAD + offer + message
    for cut in range(len(whole)):
        app, wire = await send(whole[:cut], whole[cut:])
        assert app.requests == [("POST", "/services", BODY)]
        assert wire.statuses == [200]


async def test_an_offer_behind_a_request_that_ended_in_an_error_is_ignored_as_well() -> None:
    app = Seen()

    async def answer_while_handling_an_error(scope: Message, receive: object, send_: object) -> None:
        try:
            int(scope["path"])
        except ValueError:
            await app(scope, receive, send_)  # type: ignore[arg-type]

    connection, wire = connect(answer_while_handling_an_error)
    connection.data_received((GET + OFFERS["h2c"] + b"\r\n") * 2 + b"GET / HTTP/2.0\r\n\r\n")
    await settle()
    assert app.lines == ["GET /health"] * 2
    assert problem(wire)["detail"] == "The version must be HTTP/1.1 or HTTP/1.0."


async def test_a_client_that_leaves_while_it_is_answered_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    connection, wire = connect(Seen())
    connection.data_received(GET + b"\r\n")
    while not connection.transport._unsent:  # noqa: ASYNC110 - nothing tells us
        await asyncio.sleep(0)
    wire.close()
    wire.sent.clear()
    await settle()
    assert wire.sent == []
    assert not caplog.records


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
async def test_a_body_behind_an_upgrade_offer_is_never_a_request(offer: bytes) -> None:
    app, _ = await send(HEAD + offer + b"Content-Length: %d\r\n\r\n" % len(INNER), INNER, GET + b"\r\n")
    assert app.requests == [("POST", "/services", INNER), ("GET", "/health", b"")]


async def test_an_upgrade_offer_advises_nothing_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    await send(GET + OFFERS["websocket"] + b"\r\n")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_connect_is_refused_by_method() -> None:
    app, wire = await send(b"CONNECT here:443 HTTP/1.1\r\nHost: here\r\n\r\n", INNER)
    assert app.requests == []
    assert problem(wire)["status"] == 405
    assert "allow: " in wire.text


@pytest.mark.parametrize("seed", range(20))
async def test_requests_are_the_same_however_they_are_cut(seed: int) -> None:
    random = Random(seed)
    whole = b""
    expected = []
    for number in range(8):
        path = b"/%d" % number
        match random.randrange(3):
            case 0:
                whole += b"GET " + path + b" HTTP/1.1\r\n\r\n"
                expected.append(("GET", path.decode(), b""))
            case 1:
                whole += b"PUT " + path + b" HTTP/1.1\r\n" + LENGTH + b"\r\n" + BODY
                expected.append(("PUT", path.decode(), BODY))
            case _:
                whole += b"\r\nPUT " + path + b" HTTP/1.1\r\n" + CHUNKED + b"\r\n" + CHUNKS
                expected.append(("PUT", path.decode(), BODY))
    cuts = sorted(random.sample(range(len(whole)), random.randrange(40)))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    app = Seen()
    connection, wire = connect(app)
    for piece in pieces:
        connection.data_received(piece)
    for _ in expected:
        await settle()
    assert app.requests == expected
    assert wire.statuses == [200] * len(expected)


@pytest.mark.parametrize(
    "message",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nbody",
        b"Content-Length: 4, 4\r\n\r\nbody",
        b"Content-Length: +4\r\n\r\nbody",
        b"Content-Length: 0x4\r\n\r\nbody",
        b"Content-Length:\r\n\r\nbody",
        b"Content-Length: 99999999999999999999999\r\n\r\nbody",
        b"Content-Length : 4\r\n\r\nbody",
        b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: identity\r\n\r\nbody",
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n4\nbody\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n0\n\n",
        b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 40\r\n\r\n",
        b"X: a\r\n folded\r\n\r\n",
        b"X: a\n\r\n\r\n",
        b"X: a\rY: b\r\n\r\n",
        b"X: \x00\r\n\r\n",
        b"No colon\r\n\r\n",
        b" Host: there\r\n\r\n",
    ],
)
async def test_a_message_without_one_meaning_is_refused(message: bytes) -> None:
    app, wire = await send(HEAD + message, INNER)
    assert app.requests == []
    assert problem(wire)["type"] == "urn:distributed-counter:problem:malformed-request"


@pytest.mark.parametrize(
    "data",
    [
        b"GET /\r\n\r\n",
        b"GET /\r\n",
        b"GET / HTTP/0.9\r\n\r\n",
        b"GET / HTTP/1.2\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET / HTTP/1.1\n\n",
        b"GET / HTTP/1.1\nHost: here",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b" GET / HTTP/1.1\r\n\r\n",
        b"GE\x00T / HTTP/1.1\r\n\r\n",
        b"hello\r\n",
        b"\rGET / HTTP/1.1\r\n\r\n",
        b"\nGET / HTTP/1.1\r\n\r\n",
        b"\r\n\rGET / HTTP/1.1\r\n\r\n",
    ],
)
async def test_what_is_no_request_of_http_1_is_refused_at_once(data: bytes) -> None:
    app, wire = await send(data)
    assert app.requests == []
    assert problem(wire)["status"] == 400


@pytest.mark.parametrize("message", [b"\r\n", LENGTH + b"\r\n" + BODY, CHUNKED + b"\r\n" + CHUNKS])
@pytest.mark.parametrize("half", [b"\r", b"\n", b"\r\n\r"])
async def test_half_a_line_end_between_requests_is_refused(message: bytes, half: bytes) -> None:
    for pieces in ((HEAD + message + half, GET + b"\r\n"), (HEAD + message, half, GET + b"\r\n")):
        app, wire = await send(*pieces)
        assert app.lines == ["POST /services"]
        assert wire.statuses == [200, 400]


@pytest.mark.parametrize(
    "host",
    [b"h:ere", b"here:65536", b"here:123456", b"[::1", b"[:::]:80", b"[z]", b"he re", b"h\xe4re", b"a/b", b"a@b"],
)
async def test_a_host_that_is_none_is_refused(host: bytes) -> None:
    app, wire = await send(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    assert app.requests == []
    assert problem(wire)["detail"] == "Host must be one host, with a port or without."


async def test_two_hosts_are_refused() -> None:
    app, wire = await send(GET + b"Host: there\r\n\r\n")
    assert app.requests == []
    assert problem(wire)["status"] == 400


@pytest.mark.parametrize(
    "host", [b"", b"here", b"here:", b"a_b.c-d:8000", b"127.0.0.1:80", b"[::1]", b"[fe80::1.2.3.4]:65535", b"here "]
)
async def test_a_host_is_taken(host: bytes) -> None:
    app, _ = await send(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    assert app.lines == ["GET /"]


async def test_trailers_do_not_become_headers() -> None:
    app, _ = await send(HEAD + CHUNKED + b"\r\n0\r\nX-Role: admin\r\nExpect: 100-continue\r\n\r\n")
    assert [name for name, _ in app.headers[0]] == [b"host", b"transfer-encoding"]


@pytest.mark.parametrize(
    "headers",
    [b"X: " + b"a" * 40_000, b"X: a\r\n" * 101, OFFERS["h2c"] + b"X: a\r\n" * 98, b"X: a\r\n" * 2000, b"X" * 40_000],
    ids=["one long", "101", "101 with an offer", "2000", "a long name"],
)
@pytest.mark.parametrize("end", [b"\r\n\r\n", b""], ids=["complete", "without end"])
async def test_a_head_beyond_the_bounds_is_refused(headers: bytes, end: bytes) -> None:
    app, wire = await send(GET.removesuffix(b"Host: here\r\n") + headers + end)
    assert app.requests == []
    assert problem(wire)["status"] == 431


async def test_a_head_within_the_bounds_is_taken() -> None:
    app, wire = await send(b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 99 + b"Y: " + b"a" * 30_000 + b"\r\n\r\n")
    assert wire.statuses == [200]
    assert len(app.headers[0]) == 100


async def test_empty_lines_before_a_request_are_skipped_but_not_without_end() -> None:
    app, wire = await send(b"\r\n" * 100 + GET + b"\r\n")
    assert app.lines == ["GET /health"]
    assert wire.statuses == [200]
    _, wire = await send(b"\r\n" * 101)
    assert problem(wire)["status"] == 431


async def test_a_head_that_drips_is_refused_at_the_bound_as_well() -> None:
    app, wire = await send(b"GET / HTTP/1.1\r\nX: ", *[b"a" * 1000] * 33)
    assert app.requests == []
    assert problem(wire)["status"] == 431
    app, wire = await send(b"GET / HTTP/1.1\r\n", *[b"X: a\r\n"] * 101)
    assert app.requests == []
    assert problem(wire)["status"] == 431


@pytest.mark.parametrize(
    "message",
    [
        b"Content-Length: %d\r\n\r\n" % (BODY_BYTES_MAX + 1),
        b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % (BODY_BYTES_MAX + 1),
        CHUNKED + b"\r\n8000\r\n" + b"a" * 0x8000,
        CHUNKED + b"\r\n" + b"1\r\na\r\n" * (BODY_BYTES_MAX + 1),
        CHUNKED + b"\r\n1;" + b"a" * 200_000,
        CHUNKED + b"\r\n0\r\n" + b"X-Trailer: a\r\n" * 20_000,
    ],
    ids=["length", "asked first", "one chunk", "many chunks", "an extension", "trailers"],
)
async def test_a_body_beyond_the_bound_is_refused(message: bytes) -> None:
    app, wire = await send(HEAD + message)
    assert app.requests == []
    assert wire.statuses == [413]
    assert problem(wire)["type"] == "urn:distributed-counter:problem:body-too-large"


async def test_a_body_of_one_byte_chunks_is_taken() -> None:
    app, wire = await send(HEAD + CHUNKED + b"\r\n" + b"1\r\na\r\n" * BODY_BYTES_MAX + b"0\r\n\r\n")
    assert wire.statuses == [200]
    assert app.requests == [("POST", "/services", b"a" * BODY_BYTES_MAX)]


async def test_the_application_starts_when_the_body_is_complete() -> None:
    app = Seen()
    connection, _ = connect(app)
    connection.data_received(HEAD + LENGTH + b"\r\n" + BODY[:-1])
    await settle()
    assert connection.tasks == set()
    connection.data_received(BODY[-1:])
    await settle()
    assert app.requests == [("POST", "/services", BODY)]


async def test_a_client_that_asks_is_told_to_send_its_body() -> None:
    head = HEAD + b"Expect: 100-continue\r\n" + LENGTH + b"\r\n"
    _, asked = await send(head, BODY)
    _, sent_already = await send(head + BODY)
    _, too_old = await send(head.replace(b"HTTP/1.1", b"HTTP/1.0"), BODY)
    assert asked.statuses == [100, 200]
    assert sent_already.statuses == [200]
    assert too_old.statuses == [200]


async def test_one_request_is_answered_before_the_next_is_parsed() -> None:
    begun: list[str] = []
    release = asyncio.Event()

    async def hold(scope: Message, _receive: object, send_: object) -> None:
        begun.append(scope["path"])
        await release.wait()
        await Seen()(scope, _receive, send_)  # type: ignore[arg-type]

    connection, wire = connect(hold)
    connection.data_received(b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n")
    await settle()
    assert begun == ["/1"]
    assert connection.cycle.scope["path"] == "/1"
    connection.data_received(b"GET /3 HTTP/1.1\r\n\r\n" * 10_000)
    assert wire.is_reading_paused
    release.set()
    await settle()
    assert begun[:2] == ["/1", "/2"]
    assert not wire.is_reading_paused


async def test_nothing_is_taken_behind_a_request_that_closes() -> None:
    app, wire = await send(b"GET /1 HTTP/1.1\r\nConnection: close\r\n\r\n" + INNER, INNER)
    assert app.lines == ["GET /1"]
    assert wire.sent[-1] == ENDED


async def test_a_client_that_sends_nothing_more_gets_its_answers() -> None:
    connection, wire = connect(Seen())
    connection.data_received((GET + b"\r\n") * 2 + b"GET /half")
    assert connection.eof_received()
    await settle()
    assert wire.statuses == [200, 200]
    assert wire.sent[-1] == CLOSED


async def test_a_client_that_leaves_before_its_request_is_whole_gets_none() -> None:
    connection, wire = connect(Seen())
    connection.data_received(GET)
    assert not connection.eof_received()
    await settle()
    assert wire.sent == []


async def test_what_is_sent_after_a_refusal_is_dropped_and_the_flood_cut_off() -> None:
    app = Seen()
    connection, wire = connect(app)
    connection.data_received(b"GET / HTTP/1.1\r\nX: " + b"a" * 40_000)
    for _ in range(5):
        connection.data_received(INNER + b"a" * 250_000)
    await settle()
    assert app.requests == []
    assert wire.statuses == [431]
    assert wire.sent[-1] == ABORTED


async def look_after(connection: Connection, seconds: float) -> None:
    """Let time pass as the server does, which looks at its connections once a second."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        await asyncio.sleep(1)
        connection.look_at_the_time(loop.time())


@pytest.mark.parametrize(
    "sent", [b"", b"GET / HT", GET, b"\r\n\r\n"], ids=["nothing", "a part", "lines", "empty lines"]
)
@in_virtual_time
async def test_a_head_that_does_not_come_is_answered_408_after_10_s(sent: bytes) -> None:
    connection, wire = connect(Seen())
    if sent:
        connection.data_received(sent)
    await look_after(connection, 9)
    assert wire.sent == []
    await look_after(connection, 2)
    assert problem(wire)["type"] == "urn:distributed-counter:problem:request-timeout"
    await look_after(connection, 3)
    assert wire.sent[-1] == CLOSED
    await look_after(connection, 31)
    assert wire.sent[-1] == ABORTED


@in_virtual_time
async def test_a_head_that_drips_has_no_more_time() -> None:
    connection, wire = connect(Seen())
    connection.data_received(b"GET / HTTP/1.1\r\nX: ")
    for _ in range(11):
        connection.data_received(b"a")
        await look_after(connection, 1)
    assert wire.statuses == [408]


@pytest.mark.parametrize("framing", [LENGTH, CHUNKED], ids=["length", "chunked"])
@in_virtual_time
async def test_a_body_that_does_not_come_is_answered_408_after_the_deadline(framing: bytes) -> None:
    app = Seen()
    connection, wire = connect(app, bounds=Bounds(body_s=5))
    connection.data_received(HEAD + framing + b"\r\n")
    for _ in range(5):
        assert wire.sent == []
        connection.data_received(b"1")
        await look_after(connection, 1)
    assert wire.statuses == [408]
    assert app.requests == []


@in_virtual_time
async def test_an_idle_connection_is_kept_for_75_s_and_closed_without_a_word() -> None:
    connection, wire = connect(Seen())
    connection.data_received(GET + b"\r\n")
    await look_after(connection, 73)
    connection.data_received(GET + b"\r\n")
    await look_after(connection, 73)
    connection.data_received(b"\r\n")
    assert wire.statuses == [200, 200]
    assert CLOSED not in wire.sent
    await look_after(connection, 4)
    assert wire.sent[-1] == CLOSED
    assert wire.statuses == [200, 200]


@in_virtual_time
async def test_the_next_head_has_its_own_10_s() -> None:
    connection, wire = connect(Seen())
    connection.data_received(GET + b"\r\n")
    await look_after(connection, 60)
    connection.data_received(b"GET /")
    await look_after(connection, 9)
    connection.data_received(b" HTTP/1.1\r\n\r\n")
    await look_after(connection, 20)
    assert wire.statuses == [200, 200]


@in_virtual_time
async def test_a_slow_answer_is_waited_for() -> None:
    async def answer_late(scope: Message, receive: object, send_: object) -> None:
        await asyncio.sleep(200)
        await Seen()(scope, receive, send_)  # type: ignore[arg-type]

    connection, wire = connect(answer_late)
    connection.data_received(GET + b"\r\n")
    await look_after(connection, 202)
    assert wire.statuses == [200]


@in_virtual_time
async def test_the_last_answer_can_be_read_before_the_connection_is_closed() -> None:
    """Closed at once, the connection would be reset by what the client still sends, and the answer lost."""
    app = Seen()
    connection, wire = connect(app)
    connection.data_received(b"GET /1 HTTP/1.1\r\nConnection: close\r\n\r\n")
    await look_after(connection, 1)
    connection.data_received(INNER)
    assert wire.sent[1:] == [ENDED]
    await look_after(connection, 2)
    assert wire.sent[1:] == [ENDED, CLOSED]
    assert app.lines == ["GET /1"]


@in_virtual_time
async def test_an_answer_that_is_broken_off_closes_the_connection() -> None:
    async def break_off(_scope: Message, _receive: object, send_: Callable[[Message], Awaitable[None]]) -> None:
        await send_({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})

    connection, wire = connect(break_off)
    connection.data_received(GET + b"\r\n")
    await settle()
    assert wire.sent[-1] == CLOSED


@in_virtual_time
async def test_a_client_that_does_not_read_is_cut_off() -> None:
    connection, wire = connect(Seen())
    connection.data_received(GET + b"\r\n")
    await settle()
    connection.pause_writing()
    await look_after(connection, 29)
    assert ABORTED not in wire.sent
    await look_after(connection, 2)
    assert wire.sent[-1] == ABORTED


async def test_connections_beyond_the_bound_are_refused_with_one_log_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    app, state = Seen(), ServerState()
    kept = [connect(app, state=state, bounds=Bounds(connections=2)) for _ in range(2)]
    refused = [connect(app, state=state, bounds=Bounds(connections=2)) for _ in range(300)]
    kept[0][0].data_received(GET + b"\r\n")
    refused[0][0].data_received(GET + b"\r\n")
    await settle()
    assert kept[0][1].statuses == [200]
    assert app.lines == ["GET /health"]
    assert problem(refused[0][1])["type"] == "urn:distributed-counter:problem:too-many-connections"
    assert "retry-after: 1" in refused[0][1].text
    assert refused[-1][1].sent == [ABORTED]
    assert [record.message for record in caplog.records] == ["connections.full"]


async def test_a_stop_ends_requests_that_are_not_complete() -> None:
    connection, wire = connect(Seen())
    connection.data_received(HEAD + LENGTH + b"\r\n")
    connection.shutdown()
    await settle()
    assert problem(wire)["type"] == "urn:distributed-counter:problem:stopping"


async def test_a_request_that_the_stop_cuts_short_is_answered_503(caplog: pytest.LogCaptureFixture) -> None:
    async def hang(_scope: Message, _receive: object, _send: object) -> None:
        await asyncio.Event().wait()

    connection, wire = connect(hang)
    connection.data_received(GET + b"\r\n")
    await settle()
    connection.shutdown()
    for task in list(connection.tasks):
        task.cancel()
    await settle()
    assert wire.statuses == [503]
    assert "retry-after: 1" in wire.text
    assert '"type":"urn:distributed-counter:problem:stopping"' in wire.text
    assert "content-type: application/problem+json" in wire.text
    assert wire.sent[-1] == ENDED
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_an_application_that_fails_is_answered_with_a_problem_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(_scope: Message, _receive: object, _send: object) -> None:
        raise RuntimeError("A bug.")

    connection, wire = connect(fail)
    connection.data_received(GET + b"\r\n")
    await settle()
    assert '"type":"urn:distributed-counter:problem:internal-error"' in wire.text
    assert "A bug" not in wire.text
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == ["request.failed"]
