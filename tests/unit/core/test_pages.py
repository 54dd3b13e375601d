"""Cursors: each fits the list that gave it out, and no other."""

import base64
import json

import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from counters.errors import InvalidInputError
from counters.values.pages import CURSOR_LENGTH_MAX, Position, decode_cursor, encode_cursor

Api = AsyncTestClient[Litestar]

LIST_NAME = "account-1/services"


def forge(*position: object) -> str:
    """Return what a caller may think a cursor is."""
    content = json.dumps(position, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("position", "slots"),
    [
        (Position(LIST_NAME, 0, "service-1"), 1),
        (Position(LIST_NAME, 0, "é" * 512), 1),
        (Position(LIST_NAME, 63, "a" * 128), 64),
        (Position(LIST_NAME, 1, ""), 2),
        (Position(f"{'a' * 128}/{'b' * 64}", 63, "x" * 1024), 64),
    ],
)
def test_what_a_list_gives_out_it_takes_back(position: Position, slots: int) -> None:
    assert decode_cursor(encode_cursor(position), position.list_name, slots) == position


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "=",
        "nonsense",
        "é",
        "\ud800",
        forge(),
        forge(LIST_NAME),
        forge(LIST_NAME, 0, ""),
        forge(LIST_NAME, 2, "a"),
        forge(LIST_NAME, -1, "a"),
        forge(LIST_NAME, 10**18, "a"),
        forge(LIST_NAME, 0.0, "a"),
        forge(LIST_NAME, 0, None),
        forge(LIST_NAME, 0, "a", "b"),
        forge(LIST_NAME, 0, "x" * 1025),
        forge(LIST_NAME, 0, "x" * 2000),
        forge("account-2/services", 0, "a"),
        forge("services", 0, "a"),
        encode_cursor(Position(LIST_NAME, 0, "a")) + "=",
        base64.urlsafe_b64encode(json.dumps([LIST_NAME, 0, "a"]).encode()).decode(),
        base64.urlsafe_b64encode(b"[" * 1500).decode(),
        "A" * (CURSOR_LENGTH_MAX + 1),
    ],
)
def test_anything_else_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidInputError, match="cursor"):
        decode_cursor(cursor, LIST_NAME, slots=2)


async def make_account_with_services(api: Api) -> str:
    account_id: str = (await api.post("/accounts", json={"username": "ada"})).json()["id"]
    for _ in range(2):
        await api.post("/services", json={"account_id": account_id, "name": "billing"})
    return account_id


async def test_a_cursor_is_refused_by_every_other_list(api: Api) -> None:
    first, second = [await make_account_with_services(api) for _ in range(2)]
    lists = ["/accounts", "/counts", f"/accounts/{first}/services", f"/accounts/{second}/services"]
    cursors = [(await api.get(path, params={"limit": 1})).json()["next_cursor"] for path in lists]
    statuses = [
        [(await api.get(path, params={"limit": 1, "cursor": cursor})).status_code for cursor in cursors]
        for path in lists
    ]
    assert statuses == [[200 if own == other else 400 for other in lists] for own in lists]
    refused = await api.get(lists[0], params={"cursor": cursors[1]})
    assert [error["field"] for error in refused.json()["errors"]] == ["cursor"]


async def test_a_cursor_without_a_value_is_not_the_first_page(api: Api) -> None:
    assert (await api.get("/accounts?cursor=")).status_code == 400
