"""Each request has an id: in its answer, and in every log line that is written for it."""

import asyncio
import json
import logging
import re
from collections.abc import Iterator

import pytest

from api.serving.connections import Connection
from counters.logs import configure_logging
from tests.support.process_logging import restored_logging
from tests.support.wires import Message, RecordedWire, Seen, connect, settle

logger = logging.getLogger("tests.request_ids")

NEW = re.compile(r"[0-9a-f]{32}")


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """Let each test set the process's logging up anew."""
    with restored_logging():
        yield


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def answered_ids(wire: RecordedWire) -> list[str]:
    return re.findall(r"\r\nx-request-id: (.*)\r\n", wire.text)


async def answer_and_log(scope: Message, receive: object, send: object) -> None:
    logger.info("begun")
    await asyncio.sleep(0)
    background = asyncio.create_task(log_later())
    await Seen()(scope, receive, send)  # type: ignore[arg-type]
    await background


async def log_later() -> None:
    await asyncio.sleep(0)
    logger.info("later")


def ask(connection: Connection, *ids: bytes) -> None:
    headers = b"".join(b"X-Request-Id: %s\r\n" % one for one in ids)
    connection.data_received(b"GET /a%0Ab HTTP/1.1\r\n" + headers + b"\r\n")


@pytest.mark.parametrize("proposed", ["a", "Root=1-67891233-abcdef012345678912345678", "7:8/9+_.@-", "a" * 128])
async def test_the_id_that_a_client_gives_is_kept(proposed: str) -> None:
    connection, wire = connect(Seen())
    ask(connection, proposed.encode())
    await settle()
    assert answered_ids(wire) == [proposed]


@pytest.mark.parametrize(
    "proposed", [b"", b"two words", b"a" * 129, b'a","level":"error', b"a\tb", b"\xe4", b"a\\nb", b"<b>"]
)
async def test_an_id_that_could_be_more_than_an_id_is_replaced(proposed: bytes) -> None:
    connection, wire = connect(Seen())
    ask(connection, proposed)
    await settle()
    [given] = answered_ids(wire)
    assert NEW.fullmatch(given)


async def test_each_request_without_an_id_gets_a_new_one() -> None:
    connection, wire = connect(Seen())
    for _ in range(3):
        ask(connection)
        await settle()
    assert len(set(answered_ids(wire))) == 3


async def test_the_first_of_several_ids_counts() -> None:
    connection, wire = connect(Seen())
    ask(connection, b"one", b"two")
    await settle()
    assert answered_ids(wire) == ["one"]


async def test_a_refusal_has_the_id_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("DEBUG")
    connection, wire = connect(Seen())
    connection.data_received(b"POST / HTTP/1.1\r\nX-Request-Id: mine\r\nContent-Length: 99999\r\n\r\n")
    await settle()
    assert answered_ids(wire) == ["mine"]
    assert [line["request_id"] for line in lines(capsys) if line["event"] == "request.refused"] == ["mine"]


async def test_every_log_line_of_a_request_has_its_id(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO")
    first, _ = connect(answer_and_log)
    second, _ = connect(answer_and_log)
    ask(first, b"one")
    ask(second, b"two")
    await settle()
    logger.info("between")
    written = [(line["event"], line.get("request_id")) for line in lines(capsys)]
    assert sorted(written[:-1], key=str) == [("begun", "one"), ("begun", "two"), ("later", "one"), ("later", "two")]
    assert written[-1] == ("between", None)


async def test_each_request_is_one_line_at_debug(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("DEBUG")
    connection, _ = connect(Seen())
    ask(connection, b"one")
    await settle()
    [line] = [line for line in lines(capsys) if line["event"] == "request.answered"]
    duration_ms = line.pop("duration_ms")
    assert isinstance(duration_ms, float)
    assert duration_ms >= 0
    del line["time"]
    assert line == {
        "level": "debug",
        "event": "request.answered",
        "request_id": "one",
        "method": "GET",
        "path": "/a\nb",
        "status": 200,
    }


async def test_each_refusal_is_one_line_at_debug(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("DEBUG")
    for proposed in (b"one", b"two"):
        connection, _ = connect(Seen())
        connection.data_received(b"POST / HTTP/1.1\r\nX-Request-Id: " + proposed + b"\r\nContent-Length: 99999\r\n\r\n")
        await settle()
    refused = [line for line in lines(capsys) if line["event"] == "request.refused"]
    assert [(line["request_id"], line["status"]) for line in refused] == [("one", 413), ("two", 413)]


async def test_a_request_is_no_line_at_info(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO")
    connection, wire = connect(Seen())
    ask(connection)
    await settle()
    assert wire.statuses == [200]
    assert lines(capsys) == []
