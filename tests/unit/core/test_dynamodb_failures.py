"""What each failure on the wire proves. A canned server stands in for DynamoDB, as no emulator fails this way."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager

import pytest
from aiobotocore.credentials import AioCredentials

from counters.errors import NotAppliedError, OutcomeUnknownError, StoreError, StoreRejectedError
from counters.stores.dynamodb import DynamoStore, client, credentials, failures, open_store, wire
from counters.stores.dynamodb.credentials import SigningKeys
from stack.network import free_port
from tests.support import factories

Serve = Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(
    answer: Serve, monkeypatch: pytest.MonkeyPatch, try_timeout_s: float = 2.5, heads: list[bytes] | None = None
) -> AsyncIterator[tuple[DynamoStore, list[bytes]]]:
    """Open a store on a server that reads each request and then does as told; also yields what it read."""
    requests: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if heads is not None:
            heads.append(head)
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        requests.append(await reader.readexactly(length))
        await answer(writer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        async with open_store("table", try_timeout_s) as store:
            yield store, requests


def reply(status: int, body: str | dict[str, object], *, length: int | None = None, header: str = "") -> Serve:
    """Answer with a status, a body and one more header; a length of more than the body makes a truncated answer."""
    payload = (body if isinstance(body, str) else json.dumps(body)).encode()

    async def serve(writer: asyncio.StreamWriter) -> None:
        size = len(payload) if length is None else length
        headers = ["Content-Type: application/x-amz-json-1.0", f"Content-Length: {size}", *([header] if header else [])]
        head = "\r\n".join([f"HTTP/1.1 {status} X", *headers, "", ""])
        writer.write(head.encode() + payload)
        await writer.drain()

    return serve


def error(code: str, status: int = 400, **fields: object) -> Serve:
    """Answer with one of DynamoDB's errors."""
    return reply(status, {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "no", **fields})


def cancelled(*codes: str) -> Serve:
    """Answer that a transaction was cancelled, for a reason each item."""
    return error("TransactionCanceledException", CancellationReasons=[{"Code": code} for code in codes])


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close the connection without an answer."""


async def reset(writer: asyncio.StreamWriter) -> None:
    """Break the connection without an answer."""
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(error("ProvisionedThroughputExceededException"), NotAppliedError, id="throughput exceeded"),
        pytest.param(error("ThrottlingException"), NotAppliedError, id="throttled"),
        pytest.param(error("RequestLimitExceeded"), NotAppliedError, id="request limit"),
        pytest.param(error("Throttling"), NotAppliedError, id="throttled, as other services say it"),
        pytest.param(error("Throttling", 503), NotAppliedError, id="throttled, as a server's error"),
        pytest.param(reply(429, "<html>slow down</html>"), NotAppliedError, id="throttled by a proxy"),
        pytest.param(error("TransactionConflictException"), NotAppliedError, id="transaction conflict"),
        pytest.param(error("ExpiredTokenException"), NotAppliedError, id="expired credentials"),
        pytest.param(error("UnrecognizedClientException"), NotAppliedError, id="unknown credentials"),
        pytest.param(error("InvalidSignatureException"), NotAppliedError, id="clocks apart"),
        pytest.param(error("RequestTimeTooSkewed", 403), NotAppliedError, id="clocks apart, as other services say it"),
        pytest.param(error("ThrottlingException:http://a/"), NotAppliedError, id="code with an address"),
        pytest.param(error("RequestTimeout"), OutcomeUnknownError, id="request timed out"),
        pytest.param(reply(408, ""), OutcomeUnknownError, id="request timed out, empty"),
        pytest.param(error("TransactionInProgressException"), OutcomeUnknownError, id="transaction under way"),
        pytest.param(error("InternalServerError", 500), OutcomeUnknownError, id="internal error"),
        pytest.param(reply(503, "<html>unavailable</html>"), OutcomeUnknownError, id="unavailable, not JSON"),
        pytest.param(reply(502, ""), OutcomeUnknownError, id="bad gateway, empty"),
        pytest.param(reply(200, '{"Attributes": {"PK"', length=400), OutcomeUnknownError, id="truncated"),
        pytest.param(reply(200, "<html>welcome</html>"), OutcomeUnknownError, id="carried out, not JSON"),
        pytest.param(reply(200, {}, header="x-amz-crc32: 1"), OutcomeUnknownError, id="wrong checksum"),
        pytest.param(reply(400, "<html>bad request</html>"), StoreRejectedError, id="bad request, not JSON"),
        pytest.param(reply(307, "", header="Location: /"), StoreRejectedError, id="moved"),
        pytest.param(hang_up, OutcomeUnknownError, id="hung up"),
        pytest.param(reset, OutcomeUnknownError, id="reset"),
        pytest.param(error("ValidationException"), StoreRejectedError, id="invalid"),
        pytest.param(error("ResourceNotFoundException"), StoreRejectedError, id="no table"),
        pytest.param(error("AccessDeniedException"), StoreRejectedError, id="not allowed"),
        pytest.param(error("ItemCollectionSizeLimitExceededException"), StoreRejectedError, id="collection too large"),
    ],
)
async def test_failure_is_classed_by_what_it_proves_and_never_retried(
    answer: Serve, expected: type[StoreError], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(answer, monkeypatch) as (store, requests):
        with pytest.raises(expected) as failure:
            await store.change_counter(factories.counter_key(), factories.reserve(1, limit=10))
        assert failure.value.__cause__ is not None
        assert sum(b"UpdateExpression" in request for request in requests) == 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(cancelled("None", "TransactionConflict", "None"), NotAppliedError, id="conflict"),
        pytest.param(cancelled("ThrottlingError", "None", "TransactionConflict"), NotAppliedError, id="two reasons"),
        pytest.param(cancelled("None", "ValidationError", "TransactionConflict"), StoreRejectedError, id="hopeless"),
    ],
)
async def test_every_reason_of_a_cancelled_transaction_is_read(
    answer: Serve, expected: type[StoreError], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(answer, monkeypatch) as (store, _):
        with pytest.raises(expected):
            await store.create_account(factories.account(), factories.counter())


async def test_creating_an_account_that_is_there_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = cancelled("ConditionalCheckFailed", "ConditionalCheckFailed", "None")
    async with serving(answer, monkeypatch) as (store, _):
        await store.create_account(factories.account(), factories.counter())


async def test_refused_connection_proves_that_nothing_was_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    async with open_store("table") as store:
        with pytest.raises(NotAppliedError):
            await store.change_counter(factories.counter_key(), factories.reserve(1, limit=10))


async def test_silence_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    may_leave, has_left = asyncio.Event(), asyncio.Event()

    async def hang(writer: asyncio.StreamWriter) -> None:
        await may_leave.wait()
        writer.close()
        await writer.wait_closed()
        has_left.set()

    async with serving(hang, monkeypatch, try_timeout_s=0.05) as (store, requests):
        with pytest.raises(OutcomeUnknownError):
            await store.change_counter(factories.counter_key(), factories.reserve(1, limit=10))
        may_leave.set()
        await has_left.wait()
    assert len(requests) == 1


async def test_a_connection_that_takes_too_long_proves_that_nothing_was_applied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wire, "_CONNECT_TIMEOUT_S", 0.05)
    # Nobody accepts, and the queue for it is full, so that the next caller gets no answer at all.
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(listener.getsockname())
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
        async with open_store("table") as store:
            with pytest.raises(NotAppliedError, match="timeout"):
                await store.change_counter(factories.counter_key(), factories.reserve(1, limit=10))


@pytest.mark.parametrize(
    ("field", "reason", "short"),
    [
        ("ThrottlingReasons", "TableWriteKeyRangeThroughputExceeded", "item"),
        ("throttlingReasons", "TableWriteMaxOnDemandThroughputExceeded", "table"),
        ("ThrottlingReasons", "TableReadAccountLimitExceeded", "account"),
    ],
)
async def test_the_log_tells_a_hot_item_from_a_short_table_or_account(
    field: str, reason: str, short: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(failures, "_throttling_log", failures.ThrottlingLog())
    reasons = [{"reason": reason, "resource": "arn:aws:dynamodb:us-east-1:123456789012:table/counters"}]
    body: dict[str, object] = {"__type": "a#ThrottlingException", "message": "no", field: reasons}
    async with serving(reply(400, body, header="Connection: close"), monkeypatch) as (store, _):
        for _ in range(3):
            with pytest.raises(NotAppliedError) as failure:
                await store.change_counter(factories.counter_key(), factories.reserve(1, limit=10))
    assert failure.value.throttled_by == (reason,)
    (line,) = caplog.records
    fields = vars(line)["fields"]
    assert line.getMessage() == "store.throttled"
    assert (fields["short"], fields["reasons"]) == (short, {reason: 1})


async def test_refused_credentials_are_looked_for_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a file with credentials that ended is written again while the process runs."""
    found = iter(["first", "second"])

    async def load() -> AioCredentials:
        return AioCredentials(next(found), "secret", method="shared-credentials-file")

    monkeypatch.setattr(credentials, "_RETRY_INTERVAL_S", 0.0)
    monkeypatch.setattr(client, "SigningKeys", lambda: SigningKeys(load))
    heads: list[bytes] = []

    async def answer(writer: asyncio.StreamWriter) -> None:
        expired = {
            "__type": "a#ExpiredTokenException",
            "message": "The security token is expired",
        }
        status, body = (200, {}) if b"Credential=second/" in heads[-1] else (400, expired)
        await reply(status, dict(body), header="Connection: close")(writer)

    async with serving(answer, monkeypatch, heads=heads) as (store, _):
        with pytest.raises(NotAppliedError):
            await store.read_account("a")
        await store.read_account("a")


async def test_keys_that_were_not_read_are_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    unread = {"table": {"Keys": [{"PK": {"S": "a"}, "SK": {"S": "b"}}]}}
    async with serving(reply(200, {"Responses": {}, "UnprocessedKeys": unread}), monkeypatch) as (store, _):
        with pytest.raises(NotAppliedError):
            await store.read_accounts(["a"])


async def test_a_missing_region_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    with pytest.raises(StoreRejectedError, match="region"):
        async with open_store("table"):
            pass
