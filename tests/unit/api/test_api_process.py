"""Starting and stopping: what the process does, seen from outside where that is possible."""

import asyncio
import logging
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest
import uvicorn
from aiohttp import web
from aiohttp.test_utils import RawTestServer
from litestar.testing import AsyncTestClient

from api.app import create_app
from api.serving.connections import Connection
from api.serving.server import Server, allow_files
from api.settings import ApiSettingsError
from counters.errors import OverloadedError
from tests.support.engines import make_account, make_engine
from tests.support.stores import WatchedStore
from tests.support.wires import Message, Seen

ROOT = Path(__file__).parents[3]
NOBODY_LISTENS = "http://127.0.0.1:9"


@asynccontextmanager
async def process(**environ: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run ``python -m api`` with these variables besides those of the test."""
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "api",
        cwd=ROOT,
        env=os.environ | environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()


async def test_a_table_of_another_version_stops_the_start_with_one_line() -> None:
    async def answer(_: web.BaseRequest) -> web.Response:
        return web.json_response({"Item": {"layout": {"N": "1"}}})

    async with (
        RawTestServer(answer) as dynamodb,
        process(AWS_ENDPOINT_URL=str(dynamodb.make_url("/")), TABLE_NAME="old-table") as running,
    ):
        _, stderr = await running.communicate()
    assert running.returncode == 2
    [line] = stderr.decode().splitlines()
    assert line.startswith("TABLE_NAME: The table old-table was made by another version of this service")


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that offers nothing to wait for."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("environ", "variable"),
    [
        ({"PORT": "http"}, "PORT"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": ""}, "AWS_REGION"),
        ({"AWS_REGION": "no region"}, "AWS_REGION"),
        ({"AWS_ENDPOINT_URL": "localhost:8000"}, "AWS_ENDPOINT_URL"),
        ({"AWS_PROFILE": "nobody"}, "nobody"),
        ({"AWS_SECRET_ACCESS_KEY": ""}, "AWS_SECRET_ACCESS_KEY"),
    ],
)
async def test_bad_configuration_stops_the_start_with_one_line(environ: dict[str, str], variable: str) -> None:
    async with process(**environ) as running:
        _, stderr = await running.communicate()
    lines = stderr.decode().splitlines()
    assert running.returncode == 2
    assert len(lines) == 1
    assert variable in lines[0]


async def test_a_process_without_credentials_is_not_ready_until_there_are_some(tmp_path: Path) -> None:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.json_response({"Item": {"layout": {"N": "2"}}})

    file = tmp_path / "credentials"
    without = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SHARED_CREDENTIALS_FILE": str(file)}
    async with RawTestServer(answer) as store:
        without["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{store.port}"
        async with asyncio.timeout(30), process(PORT="0", **without) as running:
            assert running.stdout
            lines: list[str] = []
            while not lines or "running on" not in lines[-1]:
                lines.append((await running.stdout.readline()).decode())
            address = re.search(r"http://[0-9.:]+", lines[-1])
            assert address
            async with httpx.AsyncClient(base_url=address[0]) as client:
                before = await client.get("/ready")
                file.write_text("[default]\naws_access_key_id = late\naws_secret_access_key = s\n")
                while (await client.get("/ready")).status_code != HTTPStatus.OK:  # noqa: ASYNC110 - see ``until``
                    await asyncio.sleep(0.1)
    assert before.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert len([line for line in lines if "credentials.missing" in line]) == 1


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_with_zero_after_draining(signal_number: signal.Signals) -> None:
    async with process(PORT="0", AWS_ENDPOINT_URL=NOBODY_LISTENS) as running:
        assert running.stdout
        address = None
        while address is None:
            address = re.search(r"http://[0-9.:]+", (await running.stdout.readline()).decode())
        async with httpx.AsyncClient(base_url=address[0]) as client:
            alive, ready = await client.get("/health"), await client.get("/ready")
            head = await client.head("/health")
        running.send_signal(signal_number)
        stdout, stderr = await running.communicate()
    assert (alive.status_code, ready.status_code, head.status_code) == (200, 503, 200)
    assert "server" not in alive.headers
    assert running.returncode == 0
    assert b'"drain.finished"' in stdout
    assert b'"level":"error"' not in stdout
    assert not stderr


async def test_a_request_that_meets_the_stop_on_an_idle_connection_is_answered() -> None:
    """As a client that sends one request after the other has it; the answer asks it to go elsewhere."""
    request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with process(PORT="0", AWS_ENDPOINT_URL=NOBODY_LISTENS) as running:
        assert running.stdout
        address = None
        while address is None:
            address = re.search(r"http://([0-9.]+):([0-9]+)", (await running.stdout.readline()).decode())
        reader, writer = await asyncio.open_connection(address[1], int(address[2]))
        writer.write(request)
        before = await reader.readuntil(b"}")
        running.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.3)
        writer.write(request)
        after = await reader.read()
        writer.close()
        assert await running.wait() == 0
    assert b"connection: close" not in before.lower()
    assert after.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in after.lower()


async def test_stopping_finishes_the_requests_in_flight() -> None:
    store = WatchedStore(latency_s=0.2)
    engine = make_engine(store)
    key = await make_account(engine)
    server = uvicorn.Server(uvicorn.Config(create_app(engine), port=0, log_config=None, lifespan="on"))
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        request = asyncio.create_task(client.post("/services", json={"account_id": key.account_id, "name": "billing"}))
        await until(lambda: store.calls["change_counter"] > 0)
        server.should_exit = True
        response = await request
    await serving
    assert response.status_code == 201
    assert store.total(key) == 1


async def test_a_request_that_outlasts_the_stop_is_answered_503(caplog: pytest.LogCaptureFixture) -> None:
    begun = asyncio.Event()

    async def hang(_scope: Message, _receive: object, _send: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    config = uvicorn.Config(hang, port=0, http=Connection, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    server = Server(config)
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        request = asyncio.create_task(client.delete("/accounts/a/services"))
        await begun.wait()
        server.should_exit = True
        response = await request
    await serving
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["retry-after"] == "1"
    assert response.headers["connection"] == "close"
    assert response.json()["type"] == "urn:distributed-counter:problem:stopping"
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR or record.exc_info]


async def test_a_client_that_does_not_read_is_waited_for_once(caplog: pytest.LogCaptureFixture) -> None:
    async def answer(_scope: Message, _receive: object, send: Callable[[Message], Awaitable[None]]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(100):
            await send({"type": "http.response.body", "body": bytes(1_000_000), "more_body": True})
            await asyncio.sleep(0)  # Until then nothing leaves.

    config = uvicorn.Config(
        answer, port=0, http=Connection, log_config=None, lifespan="off", timeout_graceful_shutdown=1
    )
    server = Server(config)
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    await reader.read(1)
    server.should_exit = True
    await serving
    writer.close()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_connections_that_hang_do_not_hold_up_the_stop() -> None:
    """One has sent nothing, one half a head, one half a body."""
    server = Server(uvicorn.Config(Seen(), port=0, http=Connection, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
    streams[1][1].write(b"GET /")
    streams[2][1].write(b"PUT / HTTP/1.1\r\nContent-Length: 2\r\n\r\n1")
    await asyncio.sleep(0.05)
    server.should_exit = True
    answers = [await reader.read() for reader, _ in streams]
    for _, writer in streams:
        writer.close()
    async with asyncio.timeout(10):
        await serving
    assert answers[0] == b""
    assert all(answer.startswith(b"HTTP/1.1 503 ") for answer in answers[1:])


async def test_an_error_with_one_connection_ends_it_and_not_the_server(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(uvicorn.Config(Seen(), port=0, http=Connection, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    with monkeypatch.context() as patched:
        patched.setattr(Connection, "look_at_the_time", lambda *_: 1 / 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()
    server.should_exit = True
    await serving
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == ["connection.failed"]


def test_more_connections_than_files_stop_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (1024, 4096))
    with pytest.raises(
        ApiSettingsError, match=r"^MAX_CONNECTIONS: must be at most 3584, not 4000, .* 4096 \(ulimit -n\)$"
    ):
        allow_files(4000)


def test_a_process_may_open_a_file_for_each_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[tuple[int, int]] = []
    monkeypatch.setattr("resource.getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr("resource.setrlimit", lambda _, both: limits.append(both))
    allow_files(100)
    assert limits == []
    allow_files(3000)
    assert limits == [(3512, 4096)]


async def test_stopping_drains_the_engine() -> None:
    engine = make_engine(WatchedStore())
    key = await make_account(engine)
    async with AsyncTestClient(create_app(engine)) as api:
        assert (await api.post("/services", json={"account_id": key.account_id, "name": "billing"})).status_code == 201
    with pytest.raises(OverloadedError):
        await engine.entries.create(key, "billing")


async def test_a_drain_that_does_not_end_does_not_hold_up_the_stop(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = make_engine(WatchedStore())
    monkeypatch.setattr("api.app.DRAIN_TIMEOUT_S", 0.01)
    monkeypatch.setattr(engine, "drain", asyncio.Event().wait)
    async with AsyncTestClient(create_app(engine)):
        pass
    assert "drain.timed_out" in caplog.messages
