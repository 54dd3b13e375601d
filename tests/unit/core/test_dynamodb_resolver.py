"""Names are looked up once for all calls, and in the background where an answer is known."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest
from aiohttp.abc import AbstractResolver

from counters.stores.dynamodb import resolver
from counters.stores.dynamodb.resolver import LastingResolver

if TYPE_CHECKING:
    from aiohttp.abc import ResolveResult


class NameServer(AbstractResolver):
    """Answers with another address each time, when it may."""

    def __init__(self) -> None:
        self.asked = 0
        self.fails = False
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        await self.may_answer.wait()
        if self.fails:
            raise OSError("no such name")
        address = f"10.0.0.{self.asked}"
        return [{"hostname": host, "host": address, "port": port, "family": family, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        pass


class ResolverClock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ResolverClock:
    """Replace the clock by which answers age."""
    clock = ResolverClock()
    monkeypatch.setattr(resolver, "monotonic", clock)
    return clock


async def ask(names: LastingResolver) -> str:
    """Return the first address of a host."""
    return (await names.resolve("dynamodb.example", 443))[0]["host"]


async def test_one_look_up_serves_all_who_wait_also_when_the_first_gives_up() -> None:
    server = NameServer()
    server.may_answer.clear()
    names = LastingResolver(server)
    callers = [asyncio.create_task(ask(names)) for _ in range(10)]
    await asyncio.sleep(0)
    callers[0].cancel()
    await asyncio.sleep(0)
    server.may_answer.set()
    assert set(await asyncio.gather(*callers[1:])) == {"10.0.0.1"}
    assert server.asked == 1


async def test_a_name_server_that_hangs_holds_up_nobody_who_had_an_answer(clock: ResolverClock) -> None:
    server = NameServer()
    names = LastingResolver(server)
    assert await ask(names) == "10.0.0.1"
    clock.now += 11.0
    server.may_answer.clear()
    assert [await ask(names) for _ in range(3)] == ["10.0.0.1"] * 3
    assert server.asked == 1
    server.may_answer.set()
    await asyncio.sleep(0.01)
    assert await ask(names) == "10.0.0.2"
    await names.close()


async def test_an_answer_of_long_ago_is_not_used(clock: ResolverClock) -> None:
    server = NameServer()
    names = LastingResolver(server)
    await ask(names)
    clock.now += 301.0
    assert await ask(names) == "10.0.0.2"


async def test_a_failure_is_told_to_those_who_wait_and_not_kept(
    clock: ResolverClock, caplog: pytest.LogCaptureFixture
) -> None:
    server = NameServer()
    server.fails = True
    names = LastingResolver(server)
    with pytest.raises(OSError, match="no such name"):
        await ask(names)
    server.fails = False
    assert await ask(names) == "10.0.0.2"
    clock.now += 11.0
    server.fails = True
    assert await ask(names) == "10.0.0.2"
    await asyncio.sleep(0.01)
    assert await ask(names) == "10.0.0.2"
    await asyncio.sleep(0.01)
    assert set(caplog.messages) == {"resolver.failed"}


async def test_a_client_that_closes_gives_up_its_look_ups() -> None:
    server = NameServer()
    server.may_answer.clear()
    names = LastingResolver(server)
    waiting = asyncio.create_task(ask(names))
    await asyncio.sleep(0)
    await names.close()
    await asyncio.wait([waiting])
    assert len(asyncio.all_tasks()) == 1
