"""A wrong clock: what the ``Date`` of answers shows of it, and what is not sent then. Our server answers."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import TYPE_CHECKING

import pytest

from counters.errors import NotAppliedError
from counters.stores.dynamodb import DynamoClient, clock, open_client, wire
from counters.stores.dynamodb.answers import AnswerError
from counters.stores.dynamodb.failures import translated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NOW = 1_800_000_000.0
"""DynamoDB's clock."""

RIGHT = formatdate(NOW, usegmt=True)


class FakeDynamoDB:
    """Answers each call with a ``Date``, and notes which calls arrived.

    Attributes:
        date: What it sends; None: no such header.
        status: The status of its answers.
        actions: The calls that arrived.
        ours: The clock of the machine that sends the calls, in seconds since the epoch.
        takes_s: How far that clock goes on while a call is under way, in seconds.
    """

    def __init__(self) -> None:
        self.date: str | None = RIGHT
        self.status = 200
        self.actions: list[str] = []
        self.ours = NOW
        self.takes_s = 0.0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                await reader.readexactly(int(_header(head, "content-length")))
                self.actions.append(_header(head, "x-amz-target").rpartition(".")[2])
                self.ours += self.takes_s
                date = [] if self.date is None else [f"Date: {self.date}"]
                lines = [f"HTTP/1.1 {self.status} X", *date, "Content-Length: 2", "", "{}"]
                writer.write("\r\n".join(lines).encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def _header(head: str, name: str) -> str:
    return next(line.partition(":")[2].strip() for line in head.splitlines() if line.lower().startswith(f"{name}:"))


@asynccontextmanager
async def serving(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[DynamoClient, FakeDynamoDB]]:
    """Open a client of a server."""
    server = FakeDynamoDB()
    for module in (wire, clock):
        monkeypatch.setattr(module, "time", lambda: server.ours)
    listener = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    async with listener:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}")
        async with open_client() as client:
            yield client, server


async def read(client: DynamoClient) -> None:
    """Make a call that reads."""
    with translated():
        await client.get_item(TableName="table", Key={"PK": {"S": "a"}})


async def is_written(client: DynamoClient, server: FakeDynamoDB) -> bool:
    """Make a call that writes; return whether it was sent."""
    arrived = server.actions.count("PutItem")
    try:
        with translated():
            await client.put_item(TableName="table", Item={"PK": {"S": "a"}})
    except NotAppliedError as error:
        assert "clock" in str(error)  # noqa: PT017 - a write that is sent raises nothing
        assert server.actions.count("PutItem") == arrived
        return False
    assert server.actions.count("PutItem") == arrived + 1
    return True


@pytest.mark.parametrize("wrong_s", [100, -100])
async def test_of_all_operations_only_reads_are_sent_by_a_wrong_clock(
    wrong_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [name for name, member in vars(DynamoClient).items() if inspect.iscoroutinefunction(member)]
    assert len(names) >= 8
    async with serving(monkeypatch) as (client, server):
        server.ours = NOW + wrong_s
        await read(client)
        server.actions.clear()
        refused = 0
        for name in names:
            try:
                with translated():
                    await client.send(action=name.title().replace("_", ""), payload={})
            except NotAppliedError:
                refused += 1
    assert set(server.actions) == {"GetItem", "BatchGetItem", "Query"}
    assert refused == len(names) - 3


async def test_a_clock_may_be_a_minute_wrong_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second is not known, as ``Date`` has no fractions."""
    written: dict[float, bool] = {}
    async with serving(monkeypatch) as (client, server):
        for ahead_s in (-3600.0, -60.5, -60.0, 0.0, 61.0, 61.5, 3600.0):
            server.ours = NOW + ahead_s
            await read(client)
            written[ahead_s] = await is_written(client, server)
    assert written == {-3600.0: False, -60.5: False, -60.0: True, 0.0: True, 61.0: True, 61.5: False, 3600.0: False}


async def test_an_answer_to_a_write_shows_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(monkeypatch) as (client, server):
        server.ours = NOW + 100
        assert await is_written(client, server)
        assert not await is_written(client, server)


async def test_an_error_shows_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """So far ahead that DynamoDB takes no signature, every answer is one."""
    async with serving(monkeypatch) as (client, server):
        server.ours, server.status = NOW + 1000, 400
        with pytest.raises(AnswerError):
            await client.get_item(TableName="table", Key={"PK": {"S": "a"}})
        server.status = 200
        assert not await is_written(client, server)


async def test_a_read_shows_that_the_clock_is_right_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(monkeypatch) as (client, server):
        server.ours = NOW + 100
        await read(client)
        assert not await is_written(client, server)
        server.ours = NOW + 10
        await read(client)
        assert await is_written(client, server)


async def test_a_process_that_only_writes_goes_on_when_the_clock_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(monkeypatch) as (client, server):
        server.ours = NOW + 100
        assert await is_written(client, server)
        server.ours = NOW + 70
        assert not await is_written(client, server)
        server.ours = NOW
        assert await is_written(client, server)
    assert server.actions == ["PutItem", "PutItem"]


async def test_a_process_that_only_writes_goes_on_when_a_clock_that_was_behind_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(monkeypatch) as (client, server):
        server.ours = NOW - 100
        assert await is_written(client, server)
        server.ours = NOW - 70
        assert not await is_written(client, server)
        server.ours = NOW
        assert await is_written(client, server)


async def test_the_time_that_a_call_takes_is_not_taken_for_a_lag(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what the answer's time is behind is known."""
    async with serving(monkeypatch) as (client, server):
        server.ours, server.takes_s = NOW - 100, 50.0
        await read(client)
        server.takes_s = 0.0
        assert await is_written(client, server)


async def test_the_time_that_a_call_takes_is_not_taken_for_a_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(monkeypatch) as (client, server):
        server.takes_s = 50.0
        await read(client)
        await read(client)
        # Sent at 50 s, answered at 100.
        server.takes_s = 0.0
        assert await is_written(client, server)
        # Sent at 100 s.
        assert not await is_written(client, server)


@pytest.mark.parametrize(
    "date",
    [
        pytest.param(None, id="none"),
        pytest.param("", id="empty"),
        pytest.param("yesterday", id="words"),
        pytest.param("1800000000", id="number"),
        pytest.param("2027-01-15T08:00:00Z", id="another format"),
        pytest.param("Friday, 15-Jan-27 08:00:00 GMT", id="obsolete format"),
        pytest.param("Fri Jan 15 08:00:00 2027", id="older format"),
        pytest.param("Fri, 15 Jan 2027 08:00:00 +0100", id="another zone"),
        pytest.param("Fri, 15 Jän 2027 08:00:00 GMT", id="not ASCII"),
        pytest.param("Fri, 15 Foo 2027 08:00:00 GMT", id="no month"),
        pytest.param("Wed, 31 Feb 2027 08:00:00 GMT", id="no day"),
        pytest.param("Fri, 15 Jan 0000 08:00:00 GMT", id="no year"),
        pytest.param("Fri, 15 Jan 2027 08:00:60 GMT", id="leap second"),
        pytest.param("Fri, 15 Jan 99999999999999999999 08:00:00 GMT", id="endless"),
    ],
)
async def test_a_date_that_is_missing_or_cannot_be_read_teaches_nothing(
    date: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(monkeypatch) as (client, server):
        server.ours, server.date = NOW + 100, date
        await read(client)
        assert await is_written(client, server)
        server.date = RIGHT
        await read(client)
        assert not await is_written(client, server)
        server.date = date
        await read(client)
        assert not await is_written(client, server)


async def test_a_date_is_read_once_and_compared_with_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    dates: list[str | None] = []
    real = clock._seconds

    def seconds(date: str | None) -> float | None:
        dates.append(date)
        return real(date)

    monkeypatch.setattr(clock, "_seconds", seconds)
    async with serving(monkeypatch) as (client, server):
        for _ in range(3):
            await read(client)
        assert await is_written(client, server)
        server.ours = NOW + 100
        await read(client)
        assert not await is_written(client, server)
        server.date = formatdate(NOW + 100, usegmt=True)
        await read(client)
        assert await is_written(client, server)
    assert dates == [RIGHT, formatdate(NOW + 100, usegmt=True)]


async def test_the_log_says_it_once_a_minute(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    uptime_s = 1000.0
    for module in (wire, clock):
        monkeypatch.setattr(module, "monotonic", lambda: uptime_s)
    async with serving(monkeypatch) as (client, server):
        server.ours = NOW + 100
        await read(client)
        for uptime_s in (1000.0, 1030.0, 1059.0, 1060.0, 1061.0):
            server.ours = NOW + 100 + uptime_s - 1000.0
            assert not await is_written(client, server)
    first, second = (record for record in caplog.records if record.name == clock.__name__)
    assert first.getMessage() == second.getMessage() == "clock.ahead"
    fields = vars(first)["fields"]
    assert fields["seconds"] == 99
    assert "Set this machine's clock" in fields["next"]
