"""What callers of a baseline see when DynamoDB fails: 503, and never a DynamoDB error."""

from collections.abc import Mapping
from http import HTTPStatus
from random import Random
from typing import Any

import aiohttp
import pytest
from litestar.testing import AsyncTestClient

from api.app import create_app
from counters.stores.dynamodb import DynamoClient
from counters.stores.dynamodb.answers import AnswerError, DamagedAnswerError
from load.compare.baselines.backend import make_backend
from load.compare.baselines.entries import BASELINES
from load.compare.baselines.table import BaselineTable

CREATE = {"account_id": "somebody", "name": "billing"}


def failing(error: Exception) -> BaselineTable:
    """Return a table each of whose calls fails for good."""

    async def fail(*, action: str, payload: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001 - as every ``Send``
        raise error

    return BaselineTable(DynamoClient(fail), "table", Random(0))


def refused(code: str, status: int, *reasons: str) -> AnswerError:
    """Return the error that the client makes of an answer."""
    return AnswerError(status, code, {"CancellationReasons": [{"Code": reason} for reason in reasons]})


FAILURES = [
    refused("TransactionCanceledException", 400, "None", "TransactionConflict"),
    refused("TransactionCanceledException", 400, "TransactionConflict", "None"),
    refused("TransactionConflictException", 400),
    refused("ProvisionedThroughputExceededException", 400),
    refused("InternalServerError", 500),
    aiohttp.ServerDisconnectedError(),
    aiohttp.ServerTimeoutError(),
    DamagedAnswerError(),
]


@pytest.mark.parametrize("baseline", sorted(BASELINES))
async def test_what_was_given_up_is_503(baseline: str) -> None:
    for error in FAILURES:
        async with AsyncTestClient(create_app(make_backend(baseline, failing(error)))) as api:
            answers = [
                await api.post("/services", json=CREATE),
                await api.delete("/services/one", params={"account_id": "somebody"}),
                await api.post("/accounts", json={"username": "ada"}),
            ]
        assert [answer.status_code for answer in answers] == [HTTPStatus.SERVICE_UNAVAILABLE] * 3, error
        assert {answer.headers["content-type"] for answer in answers} == {"application/problem+json"}


@pytest.mark.parametrize("baseline", sorted(BASELINES))
async def test_our_own_mistakes_are_not_called_overload(baseline: str) -> None:
    table = failing(refused("ValidationException", 400))
    async with AsyncTestClient(create_app(make_backend(baseline, table)), raise_server_exceptions=False) as api:
        answer = await api.post("/services", json=CREATE)
    assert answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR
