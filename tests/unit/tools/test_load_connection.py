"""The load's own HTTP: what it sends, and how it takes what servers do."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import pytest
import uvloop

from stack.harness.client import send_all
from stack.harness.connection import Connections, Reply, Request

OK = b"HTTP/1.1 201 Created\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 2\r\n\r\n{}"


class RawServer:
    """Answers each request with the next of these replies; None breaks the connection, an empty one is never sent."""

    def __init__(self, *replies: bytes | None) -> None:
        self._replies = list(replies)
        self.requests: list[bytes] = []
        self.connections = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Yield the address while it serves."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with closing(writer):
            while request := await _read_request(reader):
                self.requests.append(request)
                reply = self._replies.pop(0)
                if reply is None:
                    return
                writer.write(reply)


async def _read_request(reader: asyncio.StreamReader) -> bytes:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    length = head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]
    return head + await reader.readexactly(int(length or 0))


async def test_a_request_is_sent_as_it_is_and_its_reply_returned() -> None:
    server = RawServer(OK)
    async with server.running() as url:
        with closing(Connections(timeout_s=5)) as connections:
            reply = await connections.send(Request("POST", f"{url}/things?a=1", b'{"b":2}'))
    assert reply == Reply(201, "application/json", b"{}")
    host = url.removeprefix("http://").encode()
    assert server.requests == [
        b"POST /things?a=1 HTTP/1.1\r\nHost: " + host + b"\r\n"
        b'Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{"b":2}'
    ]


async def test_requests_share_a_connection() -> None:
    server = RawServer(OK, OK)
    async with server.running() as url:
        with closing(Connections(timeout_s=5)) as connections:
            for _ in range(2):
                await connections.send(Request("GET", url))
    assert server.connections == 1


async def test_a_server_that_asks_to_close_gets_a_new_connection() -> None:
    server = RawServer(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), OK)
    async with server.running() as url:
        with closing(Connections(timeout_s=5)) as connections:
            for _ in range(2):
                assert (await connections.send(Request("GET", url))).status == 201
    assert server.connections == 2


async def test_a_body_in_chunks_is_put_together() -> None:
    server = RawServer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n")
    async with server.running() as url:
        with closing(Connections(timeout_s=5)) as connections:
            assert await connections.send(Request("GET", url)) == Reply(200, "", b"abc")


async def test_a_broken_connection_is_status_0_and_the_next_request_gets_through() -> None:
    server = RawServer(None, OK)
    async with server.running() as url:
        outcome = await send_all([Request("GET", url)] * 2, connections=1)
    assert [answer.status for answer in outcome.answers] == [0, 201]


async def test_no_reply_in_time_is_an_error() -> None:
    server = RawServer(b"")
    async with server.running() as url:
        with closing(Connections(timeout_s=0.05)) as connections, pytest.raises(ConnectionError):
            await connections.send(Request("GET", url))


async def test_each_request_has_the_whole_time_for_its_reply() -> None:
    server = RawServer(OK, b"")
    async with server.running() as url:
        with closing(Connections(timeout_s=0.2)) as connections:
            await connections.send(Request("GET", url))
            await asyncio.sleep(0.15)
            sent_at = time.monotonic()
            async with asyncio.timeout(5):
                with pytest.raises(ConnectionError):
                    await connections.send(Request("GET", url))
    assert time.monotonic() - sent_at >= 0.19


async def test_a_server_that_is_not_there_is_status_0() -> None:
    async with RawServer().running() as url:
        pass
    outcome = await send_all([Request("GET", url)], connections=1)
    assert [answer.status for answer in outcome.answers] == [0]


def test_it_works_on_uvloop_as_well() -> None:
    async def send() -> Reply:
        async with RawServer(OK).running() as url:
            with closing(Connections(timeout_s=5)) as connections:
                return await connections.send(Request("GET", url))

    assert uvloop.run(send()).status == 201
