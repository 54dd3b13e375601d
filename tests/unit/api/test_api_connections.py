"""How answers leave the server."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.wires import ENDED, Message, connect


async def answer_in_chunks(_scope: object, _receive: object, send: Callable[[Message], Any]) -> None:
    headers = [(b"content-length", b"6")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"one", "more_body": True})
    await send({"type": "http.response.body", "body": b"two"})


async def answer_late(_scope: object, _receive: object, send: Callable[[Message], Any]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]})
    await asyncio.sleep(0.01)
    await send({"type": "http.response.body", "body": b"two"})


async def fail(_scope: object, _receive: object, _send: object) -> None:
    raise RuntimeError("A bug.")


async def exchange(app: Callable[..., Any], request: bytes) -> list[bytes | str]:
    """Return what is sent over a connection on which this comes in."""
    connection, wire = connect(app)
    connection.data_received(request)
    await asyncio.sleep(0.05)
    return wire.sent


async def test_head_and_body_of_an_answer_leave_together() -> None:
    [answer] = await exchange(answer_in_chunks, b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    assert isinstance(answer, bytes)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nonetwo")


async def test_a_head_does_not_wait_for_a_late_body() -> None:
    head, body = await exchange(answer_late, b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    assert isinstance(head, bytes)
    assert head.endswith(b"\r\n\r\n")
    assert body == b"two"


@pytest.mark.parametrize(
    ("app", "request_", "status"),
    [
        (answer_in_chunks, b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n", b"200"),
        (answer_in_chunks, b"GET / HTTP/1.0\r\n\r\n", b"200"),
        (fail, b"GET / HTTP/1.1\r\nHost: here\r\n\r\n", b"500"),
    ],
    ids=["asked to close", "HTTP/1.0", "failed"],
)
async def test_an_answer_is_sent_before_its_connection_is_ended(
    app: Callable[..., Any], request_: bytes, status: bytes
) -> None:
    sent = await exchange(app, request_)
    answer = sent[0]
    assert isinstance(answer, bytes)
    assert answer.split()[1] == status
    assert sent[1:] == [ENDED]
