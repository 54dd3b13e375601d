"""Errors of the core and of our own making, as problems; and what is logged about them."""

import logging

import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from api.app import create_app
from counters.errors import (
    ChangeConflictError,
    CounterError,
    NotAppliedError,
    OutcomeUnknownError,
    OverloadedError,
    StoreRejectedError,
)
from counters.model import Created
from counters.stores.memory import MemoryStore
from tests.support.engines import make_engine

Api = AsyncTestClient[Litestar]

INTERNALS = "ProvisionedThroughputExceededException on arn:aws:dynamodb"
BODY = {"account_id": "account-1", "name": "billing"}


class FailingEntries:
    """Fails every create with one error; the rest is not called."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def create(self, *_: object) -> Created:
        """Fail."""
        raise self.error


class UnreachableStore(MemoryStore):
    """Cannot be reached."""

    async def ping(self) -> None:
        """Fail."""
        raise NotAppliedError(INTERNALS)


def failing_api(error: Exception, monkeypatch: pytest.MonkeyPatch) -> Api:
    engine = make_engine(MemoryStore())
    monkeypatch.setattr(engine, "entries", FailingEntries(error))
    return AsyncTestClient(create_app(engine), raise_server_exceptions=False)


async def test_overload_asks_to_come_back_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async with failing_api(OverloadedError("Too many.", retry_after_s=7), monkeypatch) as api:
        response = await api.post("/services", json=BODY)
    assert response.status_code == 503
    assert response.headers["retry-after"] == "7"
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"].endswith(":overloaded")


async def test_a_change_that_met_a_newer_one_is_a_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    async with failing_api(ChangeConflictError(), monkeypatch) as api:
        response = await api.post("/services", json=BODY)
    assert response.status_code == 409
    assert response.json()["type"] == "urn:distributed-counter:problem:change-conflict"


async def test_a_storm_of_overload_is_logged_once_a_second(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with failing_api(OverloadedError("Too many."), monkeypatch) as api:
        for _ in range(20):
            await api.post("/services", json=BODY)
    assert len([record for record in caplog.records if record.message == "request.overloaded"]) <= 2


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotAppliedError(INTERNALS), 503),
        (OutcomeUnknownError(INTERNALS), 503),
        (StoreRejectedError(INTERNALS), 500),
        (CounterError(INTERNALS), 500),
        (RuntimeError(INTERNALS), 500),
        (KeyError(INTERNALS), 500),
    ],
    ids=repr,
)
async def test_what_goes_wrong_inside_is_logged_and_not_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception, status: int
) -> None:
    async with failing_api(error, monkeypatch) as api:
        response = await api.post("/services", json=BODY)
    problem = response.json()
    assert response.status_code == problem["status"] == status
    assert response.headers["content-type"] == "application/problem+json"
    assert "Exception" not in response.text
    assert "dynamodb" not in response.text.lower()
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    fields = record.__dict__["fields"]
    assert record.message == "request.failed"
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    assert fields["instance"] == problem["instance"]
    assert (fields["method"], fields["path"], fields["account_id"]) == ("POST", "/services", "account-1")


async def test_what_the_caller_did_wrong_is_not_logged(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    for path in ("/nothing", "/services", "/accounts/unknown"):
        assert (await api.get(path)).status_code in {400, 404}
    assert not [record for record in caplog.records if record.name.startswith(("api", "litestar"))]


async def test_a_request_that_succeeds_is_not_logged(
    api: Api, account_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.clear()
    with caplog.at_level(logging.DEBUG):
        await api.post("/services", json={"account_id": account_id, "name": "billing"})
    assert not [record for record in caplog.records if record.name.startswith(("api", "litestar", "counters"))]


async def test_ready_while_the_table_can_be_reached(api: Api) -> None:
    response = await api.get("/ready")
    assert (response.status_code, response.json()) == (200, {"status": "ready"})


async def test_alive_but_not_ready_while_the_table_cannot_be_reached() -> None:
    async with AsyncTestClient(create_app(make_engine(UnreachableStore()))) as api:
        alive, ready = await api.get("/health"), await api.get("/ready")
    assert (alive.status_code, alive.json()) == (200, {"status": "alive"})
    assert ready.status_code == 503
    assert ready.headers["content-type"] == "application/problem+json"
    assert ready.headers["retry-after"] == "1"
    assert ready.json()["type"].endswith(":not-ready")


async def test_method_not_allowed_names_the_allowed_ones(api: Api) -> None:
    response = await api.patch("/services")
    assert set(response.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/services", "GET, HEAD, OPTIONS, POST"),
        ("/services/service-1", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),
        ("/accounts/account-1/services/", "DELETE, GET, HEAD, OPTIONS"),
        ("/health", "GET, HEAD, OPTIONS"),
        ("/swagger/swagger-ui.css", "GET, HEAD, OPTIONS"),
        ("/schema/openapi.json", "GET, HEAD, OPTIONS"),
    ],
)
async def test_options_lists_the_methods(api: Api, path: str, methods: str) -> None:
    response = await api.options(path)
    assert (response.status_code, response.headers["allow"]) == (204, methods)


async def test_options_of_an_unknown_path_is_not_found(api: Api) -> None:
    assert (await api.options("/nothing")).status_code == 404


@pytest.mark.parametrize("path", ["/health", "/accounts", "/swagger", "/schema/openapi.json", "/nothing"])
async def test_head_is_get_without_the_body(api: Api, path: str) -> None:
    head, get = await api.head(path), await api.get(path)
    assert (head.status_code, head.headers) == (get.status_code, get.headers)
    assert head.content == b""


@pytest.mark.parametrize("path", ["/accounts", "/counts", "/health", "/ready", "/swagger", "/schema/openapi.json"])
async def test_a_trailing_slash_changes_nothing(api: Api, path: str) -> None:
    plain, slashed = await api.get(path), await api.get(f"{path}/")
    assert plain.status_code == slashed.status_code == 200
    assert plain.content == slashed.content


async def test_options_takes_any_query(api: Api) -> None:
    assert (await api.options("/services/service-1?account_id=account-1")).status_code == 204
