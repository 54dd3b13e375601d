"""The table's layout: every key and every attribute name, and nowhere else.

API and Lambda both import this module, so it uses the standard library only. See ``docs/design/engine.md``, section 3.
"""

import re
import zlib
from collections.abc import Mapping
from typing import Final, NamedTuple

SERVICES: Final = "services"
"""Name of the counter that every account is born with."""

SLOTS_MAX: Final = 64
"""Most partitions that one counter's ledger may be spread over."""

PK: Final = "PK"
SK: Final = "SK"

ACCOUNT_SK: Final = "ACCOUNT"
COUNTER_SK: Final = "COUNTER"
EXACT_SK: Final = "EXACT"
LEASE_SK: Final = "LEASE"
DIRECTORY_PK: Final = "ACCOUNTS"
"""Partition that lists every account id, so that a list is a Query and never a Scan."""

LAYOUT_PK: Final = "TABLE"
LAYOUT_SK: Final = "LAYOUT"
LAYOUT: Final = "layout"
LAYOUT_VERSION: Final = 2
"""Version of all that this module says; the first had an item for each entry. The table tells which one it has."""

ENTRIES_PREFIX: Final = "ENTRIES#"

# Attributes of an account (account_id also of a counter).
ACCOUNT_ID: Final = "account_id"
USERNAME: Final = "username"
USERNAME_NONCE: Final = "username_nonce"
CREATED_AT: Final = "created_at"
EXPIRES_AT: Final = "expires_at"
"""In what is left of a deleted account or of an emptied page: when DynamoDB removes it, in seconds since the epoch."""

# Attributes of a counter (and name, as below).
BEST_EFFORT: Final = "best_effort"
LIMIT: Final = "limit"
ENFORCEMENT: Final = "enforcement"
TERMS_VERSION: Final = "terms_version"
TERMS_NONCE: Final = "terms_nonce"
CLOSED_AT: Final = "closed_at"
SLOTS: Final = "slots"
EPOCH: Final = "epoch"
REVISION: Final = "revision"
TOUCHED_AT: Final = "touched_at"
HEALED_AT: Final = "healed_at"
HEALED_REVISION: Final = "healed_revision"
HEALED_CUT: Final = "healed_cut"
HEALED_EPOCH: Final = "healed_epoch"
CUT_REVISION: Final = "cut_revision"
BEFORE_CUT: Final = "before_cut"
CUT_SEEN_AT: Final = "cut_seen_at"

# Attributes of a counter's exact side, which only the settling of the stream and a census write.
EVENTUAL: Final = "eventual"
SETTLED_AT: Final = "settled_at"
MARKS: Final = "marks"
# One letter each: a counter of one slot holds about 8 marks at a time (a shard lives about 4 hours, a mark 30), and a
# write of its exact side is to cost one unit.
MARK_SEQUENCE: Final = "s"
MARK_AT: Final = "t"

CENSUS: Final = "census"
"""The line of the census under way; in a page, that of the last census that asked it."""
CENSUS_SEEN_AT: Final = "census_seen_at"
CENSUS_ASKED_AT: Final = "census_asked_at"
CENSUS_PAGES: Final = "census_pages"
CENSUS_TOTAL: Final = "census_total"
CENSUS_ANSWERS: Final = "census_answers"
LAST_CENSUS: Final = "last_census"
LAST_CENSUS_AT: Final = "last_census_at"

COUNTER_ATTRIBUTES: Final = (
    BEST_EFFORT,
    EVENTUAL,
    LIMIT,
    ENFORCEMENT,
    SLOTS,
    EPOCH,
    REVISION,
    TOUCHED_AT,
    MARKS,
)
"""What every counter has from the start; one without is damaged."""

NO_LIMIT: Final = "none"
"""Stands in the place of a counter's limit when it has none. A limit that is missing was lost."""

# Attributes of a page (created_at, revision, expires_at and census as above).
ENTRIES: Final = "entries"
NONCE: Final = "nonce"

# What can be unreadable in an entry, which is a value in the map of its page.
NAME: Final = "name"
AMOUNT: Final = "amount"
NAME_NONCE: Final = "name_nonce"

# Attributes of a turn.
HOLDER: Final = "holder"
HELD_UNTIL: Final = "held_until"

ID_PATTERN: Final = r"(?=[.]*[A-Za-z0-9_:-])[A-Za-z0-9._:-]{1,128}"
"""What an account's or an entry's id looks like: never a ``#``, so that no id can forge a key, and not only dots.

Clients remove ``/.`` and ``/..`` from a path before they send it (RFC 3986, section 5.2.4), so they could not reach
such an id.
"""

PAGED_ID_PATTERN: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
"""What an entry's id of ours looks like: a UUIDv8, whose last 6 bits are the entry's place in its page.

The page's id is the same with these bits at zero. A caller's own id is a page of its own.
"""

ALONE: Final = 0
"""The place of an entry that is alone in its page from the start."""

PLACE_MAX: Final = 63
"""The last place in a page. An entry that has others beside it has a place from 1 on."""

COUNTER_NAME_PATTERN: Final = r"[a-z][a-z0-9_-]{0,63}"

_PLACES: Final = {str(place): place for place in range(PLACE_MAX + 1)}
_PLACE_ALONE: Final = {str(ALONE): ALONE}

_PAGED_ID: Final = re.compile(PAGED_ID_PATTERN)

_ENTRIES_PK: Final = re.compile(
    rf"{ENTRIES_PREFIX}(?P<account>{ID_PATTERN})#(?P<name>{COUNTER_NAME_PATTERN})#(?P<slot>[0-9]{{1,2}})"
)


class CounterKey(NamedTuple):
    """Which counter: its account and its name."""

    account_id: str
    name: str


class PrimaryKey(NamedTuple):
    """The two key attributes of an item."""

    pk: str
    sk: str


class Ledger(NamedTuple):
    """Where the entries of a counter are stored.

    Attributes:
        counter: Whose entries they are.
        slots: Partitions of the ledger, 1 to 64.
    """

    counter: CounterKey
    slots: int

    def slot_of(self, entry_id: str) -> int:
        """Return the slot, 0 to ``slots - 1``, that holds an entry's page."""
        return slot_of(entry_id, self.slots)

    def page_key(self, entry_id: str) -> PrimaryKey:
        """Return the key of the page that holds an entry."""
        page_id = page_id_of(entry_id)
        return PrimaryKey(entries_pk(self.counter, slot_of(page_id, self.slots)), page_id)


def slot_of(entry_id: str, slots: int) -> int:
    """Return which of so many slots, from 0 on, holds an entry's page."""
    return zlib.crc32(page_id_of(entry_id).encode()) % slots


def is_ours(entry_id: str) -> bool:
    """Tell whether an entry's id was made by this service, not by a caller."""
    return _PAGED_ID.fullmatch(entry_id) is not None


def page_id_of(entry_id: str) -> str:
    """Return the id of the page that holds an entry."""
    if not is_ours(entry_id):
        return entry_id
    return f"{entry_id[:-2]}{int(entry_id[-2:], 16) & ~PLACE_MAX:02x}"


def place_of(entry_id: str) -> int:
    """Return the place of an entry in its page."""
    return int(entry_id[-2:], 16) & PLACE_MAX if is_ours(entry_id) else ALONE


def places_of(page_id: str) -> Mapping[str, int]:
    """Return the places that entries may have in the page of this id, by what they are called in its map.

    A caller's own id has one place, and a page that only a hand can have made has none: under the ids of its entries
    nobody would find it.
    """
    if not is_ours(page_id):
        return _PLACE_ALONE
    return _PLACES if place_of(page_id) == ALONE else {}


def id_at(page_id: str, place: int) -> str:
    """Return the id of the entry at a place of a page."""
    return f"{page_id[:-2]}{int(page_id[-2:], 16) | place:02x}" if place else page_id


def account_key(account_id: str) -> PrimaryKey:
    """Return the key of an account's own item."""
    return PrimaryKey(f"ACCOUNT#{account_id}", ACCOUNT_SK)


def directory_key(account_id: str) -> PrimaryKey:
    """Return the key of an account's line in the directory of accounts."""
    return PrimaryKey(DIRECTORY_PK, account_id)


def counter_key(key: CounterKey) -> PrimaryKey:
    """Return the key of a counter's own item, which every flush writes."""
    return PrimaryKey(f"COUNTER#{key.account_id}#{key.name}", COUNTER_SK)


def exact_key(key: CounterKey) -> PrimaryKey:
    """Return the key of a counter's exact side. Its partition is its own, so settling never competes with a flush."""
    return PrimaryKey(f"EXACT#{key.account_id}#{key.name}", EXACT_SK)


def turn_key(name: str) -> PrimaryKey:
    """Return the key of the turn of one kind of work; ``LEASE`` in it is what tables have."""
    return PrimaryKey(f"LEASE#{name}", LEASE_SK)


def entries_pk(key: CounterKey, slot: int) -> str:
    """Return the partition key of one slot of a counter's ledger."""
    return f"{ENTRIES_PREFIX}{key.account_id}#{key.name}#{slot}"


def parse_entries_pk(pk: str) -> CounterKey | None:
    """Return the counter that a ledger partition belongs to; None when the key is not one that we build."""
    match = _ENTRIES_PK.fullmatch(pk)
    return CounterKey(match["account"], match["name"]) if match else None
