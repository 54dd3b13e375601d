"""What callers of a baseline see when DynamoDB fails: 503, and never a DynamoDB error."""

from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import aioboto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError
from litestar.testing import AsyncTestClient

from api.app import create_app
from load.baselines.backend import BASELINES, make_backend
from load.baselines.table import BaselineTable

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

CREATE = {"account_id": "somebody", "name": "billing"}


class FailingClient:
    """A client each of whose calls fails."""

    def __init__(self, client: "DynamoDBClient", error: Exception) -> None:
        self.exceptions = client.exceptions
        self._error = error

    def __getattr__(self, operation: str) -> Callable[..., object]:
        async def fail(**_: object) -> None:
            raise self._error

        return fail


@pytest.fixture
async def client() -> "AsyncIterator[DynamoDBClient]":
    """A client that is never sent anything with, for the classes of its errors."""
    async with aioboto3.Session().client("dynamodb") as client:
        yield client


def refused(client: "DynamoDBClient", code: str, status: int, *reasons: str) -> ClientError:
    """Return the error that the SDK makes of an answer."""
    response = {
        "Error": {"Code": code, "Message": "no"},
        "ResponseMetadata": {"HTTPStatusCode": status},
        "CancellationReasons": [{"Code": reason} for reason in reasons],
    }
    kind: type[ClientError] = client.exceptions.from_code(code)  # type: ignore[assignment]
    return kind(cast("Any", response), "Operation")


def failures(client: "DynamoDBClient") -> list[Exception]:
    """Return what the SDK raises when it has given up."""
    return [
        refused(client, "TransactionCanceledException", 400, "None", "TransactionConflict"),
        refused(client, "TransactionCanceledException", 400, "TransactionConflict", "None"),
        refused(client, "TransactionConflictException", 400),
        refused(client, "ProvisionedThroughputExceededException", 400),
        refused(client, "InternalServerError", 500),
        EndpointConnectionError(endpoint_url="http://nowhere"),
        ReadTimeoutError(endpoint_url="http://nowhere"),
    ]


@pytest.mark.parametrize("baseline", sorted(BASELINES))
async def test_what_the_sdk_gave_up_on_is_503(client: "DynamoDBClient", baseline: str) -> None:
    for error in failures(client):
        table = BaselineTable(cast("DynamoDBClient", FailingClient(client, error)), "table")
        async with AsyncTestClient(create_app(make_backend(baseline, table))) as api:
            answers = [
                await api.post("/services", json=CREATE),
                await api.delete("/services/one", params={"account_id": "somebody"}),
                await api.post("/accounts", json={"username": "ada"}),
            ]
        assert [answer.status_code for answer in answers] == [HTTPStatus.SERVICE_UNAVAILABLE] * 3, error
        assert {answer.headers["content-type"] for answer in answers} == {"application/problem+json"}


@pytest.mark.parametrize("baseline", sorted(BASELINES))
async def test_our_own_mistakes_are_not_called_overload(client: "DynamoDBClient", baseline: str) -> None:
    error = refused(client, "ValidationException", 400)
    table = BaselineTable(cast("DynamoDBClient", FailingClient(client, error)), "table")
    async with AsyncTestClient(create_app(make_backend(baseline, table)), raise_server_exceptions=False) as api:
        answer = await api.post("/services", json=CREATE)
    assert answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR
