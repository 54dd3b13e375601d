"""Ledgers that tests fill without an engine."""

from collections.abc import Iterable
from random import Random

from counters.keys import Ledger, id_at
from counters.model import Entry
from counters.stores.port import Store
from counters.values.ids import new_page_id
from tests.support import factories


async def put(store: Store, ledger: Ledger, entries: Iterable[Entry]) -> None:
    """Store entries, each alone in its page."""
    for entry in entries:
        assert await store.insert_page(ledger, [entry]) is None


def entries_of_one_page(size: int, *, number: int = 0) -> list[Entry]:
    """Return entries of one page; pages of different numbers are different ones, in the order of the numbers."""
    page_id = new_page_id(factories.NOW_MS + number, Random(number))
    return [factories.entry(id_at(page_id, place), name=f"name {place}") for place in range(1, size + 1)]
