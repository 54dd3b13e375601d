"""Pages hold as many entries as one write unit pays for, by AWS's rules for the size of an item."""

import asyncio
from collections.abc import Mapping
from random import Random
from typing import Any

import pytest

from counters.keys import PLACE_MAX, CounterKey, Ledger, id_at, is_ours, page_id_of, place_of
from counters.lanes.paging import PAGE_BYTES_MAX, fill_pages, place
from counters.lanes.tickets import Ticket
from counters.model import Entry
from counters.stores.dynamodb import items
from counters.values.ids import new_page_id, uuid7
from tests.support.factories import NOW_MS

LEDGER = Ledger(CounterKey(uuid7(NOW_MS, Random(0)), "services"), 64)


def size_of(item: Mapping[str, Any]) -> int:
    """Return the size of an item (DynamoDB developer guide, "DynamoDB item sizes and formats")."""
    return sum(len(name.encode()) + _size_of_value(value) for name, value in item.items())


def _size_of_value(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            # One byte for each two significant digits, and one more.
            return (len(content.lstrip("0").rstrip("0")) + 1) // 2 + 1
        case "L":
            return 3 + sum(1 + _size_of_value(one) for one in content)
        case "M":
            return 3 + sum(1 + len(name.encode()) + _size_of_value(one) for name, one in content.items())
    raise AssertionError(kind)


def pages_of(names: list[str], amount: int = 1) -> list[list[Ticket]]:
    """Return creates under ids of ours in their pages, with the ids that they get."""

    async def fill() -> list[list[Ticket]]:
        tickets = [
            Ticket(Entry(id="", name=name, amount=amount, created_at_ms=NOW_MS), has_own_id=False, deadline=1e9)
            for name in names
        ]
        pages = [list(page) for page in fill_pages(LEDGER, tickets)]
        for page in pages:
            place(page, lambda: NOW_MS, Random(1))
        return pages

    return asyncio.run(fill())


@pytest.mark.parametrize(("length", "fit"), [(1, 63), (8, 63), (20, 39), (32, 25), (256, 3)])
@pytest.mark.parametrize("letter", ["x", "é"])
def test_a_page_is_as_full_as_one_write_unit_allows(letter: str, length: int, fit: int) -> None:
    names = [letter * (length // len(letter.encode())) or "x"] * 200
    pages = pages_of(names)
    sizes = [size_of(items.page_item(LEDGER, [ticket.entry for ticket in page])) for page in pages]
    assert max(sizes) <= PAGE_BYTES_MAX
    assert max(len(page) for page in pages) == pytest.approx(fit, abs=1)
    assert [ticket.entry.name for page in pages for ticket in page] == names


@pytest.mark.parametrize("amount", [2, 10**9 - 1])
def test_amounts_are_counted_in(amount: int) -> None:
    for page in pages_of(["n" * 17] * 200, amount):
        assert size_of(items.page_item(LEDGER, [ticket.entry for ticket in page])) <= PAGE_BYTES_MAX


def test_a_name_that_fills_more_than_a_page_is_alone_in_its_own() -> None:
    assert [len(page) for page in pages_of(["short", "∆" * 400, "short"])] == [1, 1, 1]


@pytest.mark.parametrize("size", [1, 2, PLACE_MAX])
def test_each_entry_is_found_by_its_id_alone_and_ids_are_in_order(size: int) -> None:
    (page,) = pages_of(["n"] * size)
    ids = [ticket.entry.id for ticket in page]
    assert ids == sorted(set(ids))
    assert all(is_ours(entry_id) for entry_id in ids)
    assert len({page_id_of(entry_id) for entry_id in ids}) == 1
    assert [place_of(entry_id) for entry_id in ids] == ([0] if size == 1 else [*range(1, size + 1)])
    assert [id_at(page_id_of(entry_id), place_of(entry_id)) for entry_id in ids] == ids


def test_an_id_of_a_caller_is_a_page_of_its_own() -> None:
    for entry_id in ("order-17", uuid7(NOW_MS, Random(0)), "0197F0B3-14C8-8F6A-8E21-4D5C6B7A8F83"):
        assert (page_id_of(entry_id), place_of(entry_id), is_ours(entry_id)) == (entry_id, 0, False)


def test_pages_of_one_millisecond_have_ids_of_their_own_and_later_ones_sort_later() -> None:
    random = Random(0)
    ids = [new_page_id(NOW_MS + number // 10, random) for number in range(1000)]
    assert len(set(ids)) == 1000
    assert [entry_id[:13] for entry_id in ids] == sorted(entry_id[:13] for entry_id in ids)
    assert {place_of(entry_id) for entry_id in ids} == {0}
