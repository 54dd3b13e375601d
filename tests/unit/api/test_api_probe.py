"""The container's health check, run as the container engine does."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@asynccontextmanager
async def server(answer: bytes, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """Run a server that gives every connection the same answer; yields its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    listening = await asyncio.start_server(serve, host, 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


async def probe(port: str, **environment: str) -> tuple[int | None, str]:
    """Return the health check's exit status and what it says."""
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "api.serving.probe", "/health"),
        cwd=ROOT,
        env={"PORT": port, **environment},
        stderr=asyncio.subprocess.PIPE,
    )
    _, stderr = await running.communicate()
    return running.returncode, stderr.decode()


async def test_a_service_that_answers_is_healthy() -> None:
    async with server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as port:
        assert await probe(str(port)) == (0, "")


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.2", "localhost", "::", "::1"])  # noqa: S104  # the case itself
async def test_it_asks_where_the_service_listens(host: str) -> None:
    async with server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", host) as port:
        assert await probe(str(port), HOST=host) == (0, "")


async def test_no_proxy_is_asked() -> None:
    proxy = dict.fromkeys(("http_proxy", "HTTP_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    async with server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as port:
        assert await probe(str(port), **proxy) == (0, "")


@pytest.mark.parametrize("answer", [b"HTTP/1.1 503 Service Unavailable\r\n\r\n", b"nonsense\r\n\r\n", b""])
async def test_anything_else_is_unhealthy_and_said_in_one_line(answer: bytes) -> None:
    async with server(answer) as port:
        status, said = await probe(str(port))
    assert status == 1
    assert said.startswith("/health: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize("port", ["9", "http"])
async def test_a_service_that_cannot_be_asked_is_unhealthy(port: str) -> None:
    status, said = await probe(port)
    assert status == 1
    assert said.startswith("/health: ")
