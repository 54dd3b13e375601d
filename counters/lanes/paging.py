"""Pages: entries that are stored together, in one item of at most 1 KB (``docs/design/engine.md``, section 3).

DynamoDB bills a write by the started kilobyte, and an entry has some 25 bytes of its own. So one write unit stores all
entries of a page.
"""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Final

import msgspec

from counters.keys import ALONE, PLACE_MAX, Ledger, entries_pk, id_at
from counters.lanes.tickets import Ticket
from counters.values.ids import Clock, new_page_id

PAGE_BYTES_MAX: Final = 1024
"""The size of one write unit."""

_ENTRY_BYTES: Final = 3
"""What an entry takes beside its name: one byte of overhead, and two digits of its place."""

_AMOUNT_BYTES: Final = 11
"""What an entry takes more whose amount is not 1: a list with two values, and a number of up to ten digits."""

_FIXED_BYTES: Final = 85
"""What a page takes beside its partition key and its entries: both key names, an id, and the other attributes.

Sizes are as AWS counts them (DynamoDB developer guide, "DynamoDB item sizes and formats").
"""


def fill_pages(ledger: Ledger, tickets: Sequence[Ticket]) -> Iterator[Sequence[Ticket]]:
    """Divide creates under ids of ours into as few pages as hold them, each of one epoch.

    A recount takes a page as a whole, so one is not to be of before a cut and of after it.
    """
    fixed = _FIXED_BYTES + len(entries_pk(ledger.counter, ledger.slots - 1))
    page: list[Ticket] = []
    size = fixed
    for ticket in tickets:
        entry = ticket.entry
        more = _ENTRY_BYTES + len(entry.name.encode()) + (0 if entry.amount == 1 else _AMOUNT_BYTES)
        is_full = size + more > PAGE_BYTES_MAX or len(page) == PLACE_MAX
        if page and (is_full or ticket.epoch != page[0].epoch):
            yield page
            page, size = [], fixed
        page.append(ticket)
        size += more
    if page:
        yield page


def place(tickets: Sequence[Ticket], clock: Clock, random: Random) -> None:
    """Give the entries of these creates the ids of one new page."""
    now_ms = clock()
    page_id = new_page_id(now_ms, random)
    first = ALONE if len(tickets) == 1 else ALONE + 1
    # One that is said to be later than it is would not be counted by a recount of what was there before.
    revision = min(ticket.revision for ticket in tickets)
    for number, ticket in enumerate(tickets, first):
        ticket.entry = msgspec.structs.replace(
            ticket.entry, id=id_at(page_id, number), created_at_ms=now_ms, revision=revision
        )
