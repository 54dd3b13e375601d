"""One bound over all of a call, from the moment it is asked for. A server of ours answers when it is told to."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiodynamo.sign import Instant

from counters.errors import NotAppliedError, OutcomeUnknownError
from counters.stores.dynamodb import DynamoClient, open_client, wire
from counters.stores.dynamodb.failures import translated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
GENEROUS_S = 5.0
"""Far more than any bound in here, and far less than a call that nothing bounds."""


class SlowDynamoDB:
    """Answers a call when it may, and counts what arrived."""

    def __init__(self) -> None:
        self.arrived = 0
        self.arrival = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.pause_s = 0.0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
                await reader.readexactly(length)
                self.arrived += 1
                self.arrival.set()
                await self.may_answer.wait()
                for start in range(len(ANSWER)) if self.pause_s else [0]:
                    writer.write(ANSWER[start : start + 1] if self.pause_s else ANSWER)
                    await asyncio.sleep(self.pause_s)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(
    monkeypatch: pytest.MonkeyPatch, *, bound_s: float, host: str = "127.0.0.1"
) -> AsyncIterator[tuple[DynamoClient, SlowDynamoDB]]:
    """Open a client of a server, over one connection."""
    monkeypatch.setattr(wire, "_CONNECTIONS", 1)
    server = SlowDynamoDB()
    listener = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    async with listener:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{listener.sockets[0].getsockname()[1]}")
        async with open_client(bound_s) as client:
            yield client, server
        server.may_answer.set()


async def call(client: DynamoClient) -> None:
    """Make a call."""
    with translated():
        await client.get_item(TableName="table", Key={"PK": {"S": "a"}})


async def arrive(client: DynamoClient, server: SlowDynamoDB) -> asyncio.Task[None]:
    """Make a call that takes up a connection and is not answered yet."""
    task = asyncio.create_task(call(client))
    await server.arrival.wait()
    server.arrival.clear()
    return task


async def test_a_call_that_gets_no_connection_in_its_time_was_never_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "_NEWS_SHARE", 1.0)
    async with serving(monkeypatch, bound_s=0.8) as (client, server), asyncio.timeout(GENEROUS_S):
        usual = await arrive(client, server)
        await asyncio.sleep(0.2)
        server.may_answer.set()
        await usual
        server.may_answer.clear()

        busy = await arrive(client, server)
        with pytest.raises(NotAppliedError):
            # Gives up while it has twice the time of the call before, so half of its own.
            await call(client)
        assert not busy.done()
        with pytest.raises(OutcomeUnknownError):
            await busy
        assert server.arrived == 2


async def test_a_process_that_stood_still_after_it_signed_a_call_does_not_send_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The loop's timers do not ring before the body is written, as its turn goes on after the pause."""
    async with serving(monkeypatch, bound_s=2.0) as (client, server), asyncio.timeout(GENEROUS_S):
        server.may_answer.set()
        await call(client)
        stood_still_s = 0.0
        monkeypatch.setattr(wire, "monotonic", lambda: time.monotonic() + stood_still_s)
        sign = wire.signed_dynamo_request  # type: ignore[attr-defined]

        def sign_and_stand_still(**call: object) -> object:
            nonlocal stood_still_s
            signed = sign(**call)  # type: ignore[arg-type]
            stood_still_s = 16.5
            return signed

        monkeypatch.setattr(wire, "signed_dynamo_request", sign_and_stand_still)
        with pytest.raises(NotAppliedError):
            await call(client)
        assert server.arrived == 1


async def test_an_answer_in_drops_does_not_stretch_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(monkeypatch, bound_s=0.2) as (client, server), asyncio.timeout(GENEROUS_S):
        server.may_answer.set()
        server.pause_s = 0.15
        with pytest.raises(OutcomeUnknownError):
            await call(client)


async def test_a_name_server_that_does_not_answer_is_within_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    may_answer, real = threading.Event(), socket.getaddrinfo

    def wait(*arguments: object, **options: object) -> object:
        may_answer.wait()
        return real(*arguments, **options)  # type: ignore[arg-type]

    async with serving(monkeypatch, bound_s=0.2, host="localhost") as (client, server):
        monkeypatch.setattr(socket, "getaddrinfo", wait)
        try:
            async with asyncio.timeout(GENEROUS_S):
                with pytest.raises(NotAppliedError):
                    await call(client)
        finally:
            may_answer.set()
        assert not server.arrived


async def test_callers_that_give_up_just_when_they_are_let_in_leave_their_place_to_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(monkeypatch, bound_s=20.0) as (client, server):

        async def give_way() -> None:
            await call(client)
            # Its place has gone to the next in line already, who has not run since.
            second.cancel()

        first = asyncio.create_task(give_way())
        await server.arrival.wait()
        second, third = asyncio.create_task(call(client)), asyncio.create_task(call(client))
        await asyncio.sleep(0.01)
        server.may_answer.set()
        async with asyncio.timeout(GENEROUS_S / 2):
            await asyncio.wait([first, second])
            await third
        assert second.cancelled()
        assert server.arrived == 2


async def test_callers_that_give_up_take_no_connection_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(monkeypatch, bound_s=20.0) as (client, server), asyncio.timeout(GENEROUS_S):
        for _ in range(3):
            sent = await arrive(client, server)
            waiting = asyncio.create_task(call(client))
            await asyncio.sleep(0)
            waiting.cancel()
            sent.cancel()
            await asyncio.wait([sent, waiting])
        server.may_answer.set()
        await call(client)
        assert server.arrived == 4


async def test_a_call_is_signed_when_it_has_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    signed: list[None] = []
    real = Instant.now

    def now() -> Instant:
        signed.append(None)
        return real()

    async with serving(monkeypatch, bound_s=20.0) as (client, server), asyncio.timeout(GENEROUS_S):
        monkeypatch.setattr(Instant, "now", now)
        first = await arrive(client, server)
        second = asyncio.create_task(call(client))
        await asyncio.sleep(0.01)
        assert len(signed) == 1
        server.may_answer.set()
        await first
        await second
        assert len(signed) == 2


async def test_a_process_that_stood_still_while_a_call_waited_does_not_send_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(monkeypatch, bound_s=20.0) as (client, server), asyncio.timeout(GENEROUS_S):
        first = await arrive(client, server)
        second = asyncio.create_task(call(client))
        await asyncio.sleep(0.01)
        monkeypatch.setattr("counters.stores.dynamodb.wire.monotonic", lambda: time.monotonic() + 20.0)
        server.may_answer.set()
        await first
        with pytest.raises(NotAppliedError):
            await second
        assert server.arrived == 1
